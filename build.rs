//! Embeds migrations: those of `migrations/`, or what `PREMAIN_EMBED` says: `none`, or a folder.
//!
//! refinery itself reads them, here and not in the binary: its macro `embed_migrations!` would have
//! every start parse the names again, by a regular expression that is a quarter of the binary.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=PREMAIN_EMBED");
    fold_equal_functions();
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let embedded = match env::var("PREMAIN_EMBED").unwrap_or_default().as_str() {
        "none" => String::new(),
        "" => literals(&root.join("migrations")),
        folder => literals(&root.join(folder)),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    if let Err(error) = fs::write(&out, format!("[{embedded}]")) {
        stop(&format!("{}: {error}", out.display()));
    }
}

/// Generic code leaves many functions that are the same, byte by byte: 28 kB of the release. Only where
/// Rust brings the linker that can fold them.
fn fold_equal_functions() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
    {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}

/// `(Order, version, name, sql)` of every migration, oldest first.
fn literals(folder: &Path) -> String {
    // Cargo looks into a folder for new and changed files if it is told to.
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut migrations = match refinery::load_sql_migrations(folder) {
        Ok(migrations) => migrations,
        Err(error) => stop(&format!("{}: {error}", folder.display())),
    };
    migrations.sort_by_key(refinery::Migration::version);
    for pair in migrations.windows(2) {
        if pair[0].version() == pair[1].version() {
            stop(&format!("{} and {} are one version", pair[0], pair[1]));
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
