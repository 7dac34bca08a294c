//! Directories that were not made for migrations, or made to do harm: each ends in a clear error, soon,
//! and within little memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::premain::{Ended, Premain, premain};
use crate::support::{directory, program};

/// No server listens there. The directory is read before the database is asked.
const NOWHERE: &str = "postgres://x@127.0.0.1:1/x";

/// So many megabytes of addresses at the most, and ten seconds on a processor. Linux counts memory
/// that is reserved and not used, so this is far above what is.
fn within(megabytes: usize, words: &[&str], directory: &Path) -> Premain {
    let mut command = Command::new(program("prlimit", "util-linux"));
    command.args([&format!("--as={megabytes}000000"), "--cpu=10", "--"]);
    command.arg(env!("CARGO_BIN_EXE_premain"));
    Premain::of(command).words(words.iter().copied()).words(["--migrations"]).with(directory)
}

fn limited(directory: &Path) -> Premain {
    within(500, &["migrate", "--wait-timeout", "1ms"], directory).database(NOWHERE)
}

fn fails(directory: &Path, code: i32, text: &str) -> Ended {
    limited(directory).run().code(code).says(text)
}

#[test]
fn special_files_are_rejected() {
    let names = [
        "001_x.sql",
        "V1__x.sql",
        "meta/_journal.json",
        "1_a/migration.sql",
        "migration_lock.toml",
    ];
    for name in names {
        let fails = |make: &dyn Fn(&Path), code: i32, text: &str| {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            make(&path);
            fails(place.path(), code, &format!("{name}: {text}"));
        };
        fails(&|path| mkfifo(path, Mode::S_IRWXU).unwrap(), 65, "it is a device, a pipe or a");
        fails(&|path| symlink("/dev/zero", path).unwrap(), 65, "it is a device, a pipe or a");
        fails(&|path| symlink("/nowhere", path).unwrap(), 66, "no such file or directory");
        fails(&|path| symlink(path, path).unwrap(), 66, "too many levels of symbolic links");
    }
}

#[test]
fn a_default_directory_that_is_a_dangling_link_is_rejected() {
    let place = tempfile::tempdir().unwrap();
    symlink("/nowhere", place.path().join("migrations")).unwrap();
    premain(["migrate"])
        .within(place.path())
        .database(NOWHERE)
        .run()
        .code(66)
        .says("./migrations: no such file or directory");
}

#[test]
fn a_directory_named_like_a_migration_file_is_rejected() {
    let place = directory(&[("001_a.sql/readme", ""), ("002_b.sql", "SELECT 1")]);
    fails(place.path(), 65, "001_a.sql: it is a directory, not a file; Docker makes one");
}

#[test]
fn circular_links_are_not_followed() {
    // The directory is valid; the wait for the database fails.
    for (name, text) in [
        (
            "drizzle/20240101000000_a/migration.sql",
            "loop: it is not read, and migration.sql in it looks like a migration",
        ),
        ("deep/V1__a.sql", "loop: it is a link to a directory, which is not followed"),
        ("1_a.sql", "loop: it is not read, and 1_a.sql in it looks like a migration"),
    ] {
        let place = directory(&[(name, "SELECT 1")]);
        let migrations = place.path().join(name.split_once("/2").map_or("", |(parent, _)| parent));
        symlink(".", migrations.join("loop")).unwrap();
        fails(&migrations, 65, text);
    }
    let place = directory(&[("1_a/migration.sql", "SELECT 1")]);
    symlink(".", place.path().join("loop")).unwrap();
    fails(place.path(), 65, "loop: it holds no migration.sql");
}

#[test]
fn a_huge_sparse_file_is_not_read_to_its_end() {
    for (name, written, line) in [
        ("001_x.sql", "", 1),
        ("V1__x.sql", "SELECT 1;\n", 2),
        ("1_a/migration.sql", "SELECT 1;\n\n", 3),
        ("20240101000000_a/migration.sql", "--> statement-breakpoint\n", 2),
    ] {
        let place = directory(&[(name, written)]);
        File::options()
            .write(true)
            .open(place.path().join(name))
            .unwrap()
            .set_len(4 << 30)
            .unwrap();
        let text = format!("{name}: line {line} contains a NUL byte");
        fails(place.path(), 65, &text);
        let validated = within(500, &["validate"], place.path()).run().code(65);
        assert!(
            validated.output.contains(&text.replace(": line", ": error: line")),
            "{}",
            validated.output
        );
    }
}

/// A file of one statement and the beginning of another, with a text of so many megabytes.
fn endless(megabytes: usize) -> tempfile::TempDir {
    let place = directory(&[("001_x.sql", "SELECT 1;\nSELECT '")]);
    let mut file = File::options().append(true).open(place.path().join("001_x.sql")).unwrap();
    for _ in 0..megabytes {
        file.write_all(&[b' '; 1 << 20]).unwrap();
    }
    place
}

#[test]
fn a_statement_over_one_gigabyte_is_rejected_before_anything_runs() {
    let ended = premain(["validate", "--migrations"]).with(endless(1100).path()).run().code(65);
    let said = "001_x.sql:2:1: error: this statement is longer than 1 GB, the most that PostgreSQL";
    assert!(ended.output.contains(said), "{}", ended.output);
}

#[test]
fn an_unterminated_statement_is_an_error_when_memory_is_short() {
    within(100, &["validate"], endless(100).path())
        .run()
        .code(66)
        .says("001_x.sql: one of its statements does not fit into memory");
}

#[test]
fn implausible_journals_are_rejected() {
    let place = directory(&[("meta/_journal.json", "{")]);
    let journal = place.path().join("meta/_journal.json");
    fs::write(&journal, format!("{{\"a\": {}", "[".repeat(1 << 20))).unwrap();
    fails(place.path(), 65, "it is not a journal as drizzle-kit writes it");
    fs::write(&journal, format!("{{\"entries\": {}", "[".repeat(1 << 20))).unwrap();
    fails(place.path(), 65, "it is not a journal as drizzle-kit writes it");
    File::options().write(true).open(&journal).unwrap().set_len(1 << 30).unwrap();
    fails(place.path(), 65, "meta/_journal.json: it is larger than 16 MB");
    fs::write(&journal, b"{\"entries\": [\xff]}").unwrap();
    fails(place.path(), 65, "it is not UTF-8");
}

#[test]
fn too_many_entries_are_rejected() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..=100_000 {
        File::create(place.path().join(format!("{number}"))).unwrap();
    }
    fails(
        place.path(),
        65,
        "it contains more than 100000 files, so it cannot be the directory of migrations; name the right one",
    );
}

#[test]
fn unprintable_names_are_escaped() {
    for (name, text) in [
        (&b"001_a\npremain: all is well.sql"[..], "contains a control character"),
        (b"001_a\x1b[2J.sql", "contains a control character"),
        (b"001_gr\xfcn.sql", "is not UTF-8"),
    ] {
        let place = directory(&[]);
        fs::write(place.path().join(OsStr::from_bytes(name)), "SELECT 1").unwrap();
        let ended = fails(place.path(), 65, text);
        assert!(!ended.log.contains('\x1b'), "{}", ended.log);
        assert!(!ended.log.contains("\npremain: all is well"), "{}", ended.log);
    }
}

#[test]
fn unreadable_files_are_named() {
    for (name, files) in
        [("001_x.sql", ["001_x.sql", "2_y.sql"]), ("deep", ["V1__x.sql", "deep/V2__x.sql"])]
    {
        let place = directory(&files.map(|name| (name, "SELECT 1")));
        let forbid = |name: &str, mode: u32| {
            fs::set_permissions(place.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        forbid("", 0o755);
        forbid(name, 0);
        // Not as root, which may read everything.
        let mut command = Command::new(program("setpriv", "util-linux"));
        if nix::unistd::geteuid().is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.args(["--", env!("CARGO_BIN_EXE_premain"), "migrate", "--migrations"]);
        let run = Premain::of(command).with(place.path()).database(NOWHERE).run();
        forbid(name, 0o755);
        run.code(66).says(&format!("/{name}")).says(": permission denied");
    }
}
