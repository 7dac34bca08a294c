//! PostgreSQL's programs: which version is used, and which user runs them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::output;
use super::postgres::place;

/// The version of [`super::postgres::Server::newest`], which Debian does not have.
pub(super) const NEWEST: &str = "18";

/// The programs of the newest version that Debian's packages have installed, or of the one that
/// `PREMAIN_TEST_POSTGRES` names and `tests/run` got from npm.
pub(super) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| match std::env::var("PREMAIN_TEST_POSTGRES") {
        Ok(version) => from_npm(&version),
        Err(_) => from_debian(),
    })
}

fn from_debian() -> PathBuf {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.retain(|path| path.join("initdb").exists());
    versions.sort();
    versions.pop().expect("PostgreSQL is missing: apt-get install -y postgresql")
}

/// A copy, because the user who runs the server may not read the directories of the user who runs the tests.
pub(super) fn from_npm(version: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools/node/node_modules")
        .join(format!("postgres-{version}/native"));
    assert!(package.exists(), "PostgreSQL {version} is missing: tests/run installs it");
    // It is never dropped; the next run removes it.
    let directory = place().keep();
    copy(&package, &directory);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    directory.join("native/bin")
}

/// Copies a directory, as it is.
pub fn copy(from: &Path, to: &Path) {
    let copied = output(Command::new("cp").arg("-a").arg(from).arg(to));
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Runs a program as the user of Debian's package if the tests run as root, which PostgreSQL rejects. It
/// is killed when the thread that started it ends, which [`super::postgres::spawn`] prevents.
pub(super) fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(super::program("setpriv", "util-linux"));
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig=KILL", "--"]).arg(program).env_clear().env("PATH", "/usr/bin:/bin");
    command.current_dir("/");
    command
}

/// Gives a file, or all of a directory, to the role that runs the servers.
pub fn own(path: &Path) {
    if !is_root() {
        return;
    }
    let user = nix::unistd::User::from_name("postgres").unwrap();
    let user = user.expect("the role postgres is missing: apt-get install -y postgresql");
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path());
        }
    }
}
