//! What tests need: real PostgreSQL servers, a database for each test, premain as a process.
//!
//! Nothing is skipped: a missing prerequisite fails the test and says what to install.

#![allow(dead_code, reason = "every test binary uses its own part of it")]

pub mod certificates;
pub mod gate;
pub mod layout;
pub mod node;
pub mod pgbouncer;
pub mod postgres;
pub mod premain;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod terminal;
pub mod tools;

pub use process::{PATIENCE, output, wait_for};

/// A directory with these files.
pub fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    directory
}

/// A directory with these executables.
pub fn executables(files: &[(&str, &str)]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = directory(files);
    for (name, _) in files {
        let path = directory.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

/// A program's path, or how to install it.
pub fn program(name: &str, package: &str) -> std::path::PathBuf {
    let mut directories: Vec<_> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    directories.extend(["/usr/sbin".into(), "/sbin".into()]);
    let found =
        directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install -y {package}"))
}
