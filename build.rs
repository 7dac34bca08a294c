//! Embeds the migrations of the directory that `PREMAIN_EMBED` names; without it, none.
//!
//! The rules for names and contents are those that premain itself has for a directory: the files
//! that hold them need nothing but the standard library, and are included here. What premain would
//! reject at a start fails the build.

#[path = "src/migrate/formats/refinery/file_name.rs"]
#[allow(dead_code, reason = "refinery itself parses what is accepted")]
mod file_name;
#[path = "src/migrate/formats/markers.rs"]
#[allow(dead_code, reason = "premain also tells apart what is wrong only in a pending migration")]
mod markers;
#[path = "src/migrate/formats/unread.rs"]
#[allow(dead_code, reason = "there are no directories that are not read")]
mod unread;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use file_name::FileName;
use markers::Marker;
use refinery::Migration;
use unread::Unread;

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

/// Leaves out of the release binary what it does not use: functions that generic code compiles to
/// the same bytes are folded (28 kB), and it needs no index of its frames (57 kB), because a panic
/// aborts and does not unwind. Only for targets whose linker comes with Rust and can do it.
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
    let mut migrations = Vec::new();
    read(directory, &mut migrations);
    migrations.sort_by_key(|(_, migration)| migration.version());
    if migrations.is_empty() {
        fail(directory, "it holds no migration; name one like V1__create_users.sql");
    }
    for pair in migrations.windows(2) {
        let [(first, migration), (second, other)] = pair else { continue };
        if migration.version() == other.version() {
            fail(second, &format!("{} has the same version", first.display()));
        }
    }
    let mut literals = String::new();
    for (_, migration) in migrations {
        let order = if migration.prefix().to_string() == "U" { "Free" } else { "Strict" };
        let (version, name) = (migration.version(), migration.name());
        let sql = migration.sql().unwrap_or_default();
        let _ = write!(literals, "(Order::{order}, {version}, {name:?}, {sql:?}),");
    }
    literals
}

/// Reads the migrations below `directory`, except in hidden entries. What refinery would pass over in
/// silence is an error.
fn read(directory: &Path, migrations: &mut Vec<(PathBuf, Migration)>) {
    const WRONG_NAME: &str = "its name is not like V1__create_users.sql; rename it";
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for entry in entries.unwrap_or_else(|error| fail(directory, &error.to_string())) {
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            fail(&path, "its name is not UTF-8; rename it")
        };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            match entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                false => read(&path, migrations),
                true if unread::is_harmless_directory(name) => {}
                true => fail(&path, "it is a link to a directory, which is not followed"),
            }
            continue;
        }
        if name.ends_with(".sql") {
            match FileName::parse(name) {
                Err(why) => fail(&path, why),
                Ok(None) => {}
                Ok(Some(_)) => {
                    let migration =
                        Migration::unapplied(name.trim_end_matches(".sql"), &sql(&path));
                    let migration =
                        migration.unwrap_or_else(|error| fail(&path, &error.to_string()));
                    migrations.push((path, migration));
                    continue;
                }
            }
        }
        match unread::file(name, WRONG_NAME) {
            Unread::Migration(why) => fail(&path, &why),
            Unread::Sql => fail(&path, WRONG_NAME),
            Unread::Harmless | Unread::Other => {}
        }
    }
}

fn sql(path: &Path) -> String {
    let sql = fs::read_to_string(path).unwrap_or_else(|error| fail(path, &error.to_string()));
    if sql.contains('\0') {
        fail(path, "it contains a NUL byte, which SQL cannot contain");
    }
    for line in sql.lines() {
        if let Some(Marker::Of(tool)) = markers::parse(line) {
            let why = format!(
                "{line} is a marker of {tool}; keep only the up migration in it, without {tool}'s markers"
            );
            fail(path, &why);
        }
    }
    sql
}

fn fail(path: &Path, why: &str) -> ! {
    stop(&format!("PREMAIN_EMBED: {}: {why}", path.display()))
}

fn stop(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1)
}
