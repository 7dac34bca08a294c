//! Embeds the migrations of the directory that `PREMAIN_EMBED` names; without it, none.
//!
//! refinery itself reads them at build time. Its macro `embed_migrations!` would parse their names at every start, with
//! a regular expression engine that is a quarter of the binary.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=PREMAIN_EMBED");
    shrink();
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let embedded = match env::var("PREMAIN_EMBED").unwrap_or_default().as_str() {
        "" => String::new(),
        directory => literals(&root.join(directory)),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    if let Err(error) = fs::write(&out, format!("[{embedded}]")) {
        stop(&format!("{}: {error}", out.display()));
    }
}

/// Leaves out of the release binary what it does not use: functions that generic code compiles to the same bytes are
/// folded (28 kB), and it needs no index of its frames (57 kB), because a panic aborts and does not unwind. Only for
/// targets whose linker comes with Rust and can do it.
fn shrink() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
    {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all,--no-eh-frame-hdr");
    }
}

/// `(Order, version, name, sql)` of every migration, oldest first.
fn literals(directory: &Path) -> String {
    // For a directory, Cargo checks all files in it.
    println!("cargo:rerun-if-changed={}", directory.display());
    let shown = format!("PREMAIN_EMBED: {}", directory.display());
    let mut migrations = match refinery::load_sql_migrations(directory) {
        Ok(migrations) if migrations.is_empty() => {
            stop(&format!("{shown} holds no migration like V1__create_users.sql"))
        }
        Ok(migrations) => migrations,
        Err(error) => stop(&format!("{shown}: {error}")),
    };
    migrations.sort_by_key(refinery::Migration::version);
    for pair in migrations.windows(2) {
        if pair[0].version() == pair[1].version() {
            stop(&format!("{shown}: {} and {} have the same version", pair[0], pair[1]));
        }
    }
    let literal = |migration: &refinery::Migration| {
        let order = if migration.prefix().to_string() == "U" { "Free" } else { "Strict" };
        let (version, name) = (migration.version(), migration.name());
        format!("(Order::{order}, {version}, {name:?}, {:?}),", migration.sql().unwrap_or_default())
    };
    migrations.iter().map(literal).collect()
}

fn stop(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1)
}
