//! Drizzle from 1.0 on and premain take turns on one database, and neither notices the other.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain};
use crate::support::{directory, node};

/// What drizzle-kit 1.0.0-rc.5 made, and what drizzle-orm 1.0.0-rc.5 made of it.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn all() -> PathBuf {
    fixture("drizzle1/migrations")
}

/// The first migrations of a fixture.
fn first(all: &Path, count: usize) -> TempDir {
    let mut names: Vec<_> = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let place = tempfile::tempdir().unwrap();
    for path in &names[..count] {
        let to = place.path().join(path.file_name().unwrap());
        fs::create_dir(&to).unwrap();
        for file in ["migration.sql", "snapshot.json"] {
            fs::copy(path.join(file), to.join(file)).unwrap();
        }
    }
    place
}

fn run(database: &Database<'_>, directory: &Path) -> Ended {
    premain(["--migrations"]).with(directory).words(["migrate"]).database(database.url()).run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory).code(0)
}

fn native(database: &Database<'_>, directory: &Path) {
    node::drizzle("drizzle-orm-1", database, directory, None).unwrap();
}

fn rows(database: &Database<'_>) -> String {
    database.psql(
        "SELECT id, hash, created_at, name, applied_at IS NULL FROM drizzle.__drizzle_migrations ORDER BY id",
    )
}

/// A dump in which the times are alike; they are the only thing that may differ.
fn dump(database: &Database<'_>) -> String {
    let times = "SELECT count(*) FROM information_schema.columns WHERE (table_name, column_name) = ('users', 'created_at')";
    if database.psql(times) == "1" {
        database.psql("UPDATE users SET created_at = 'epoch'");
    }
    database.psql(
        "UPDATE drizzle.__drizzle_migrations SET applied_at = 'epoch' WHERE applied_at IS NOT NULL",
    );
    database.dump()
}

#[test]
fn premain_leaves_the_same_database_as_drizzle() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, &all())
        .says("migrations (drizzle1, 3 files), history table drizzle.__drizzle_migrations")
        .says("migration 20261120220325_orders applied in");
    native(&theirs, &all());
    assert_eq!(dump(&ours), dump(&theirs));
    let native =
        fs::read_to_string(fixture("drizzle1/native-drizzle-orm-1.0.0-rc.5.dump.sql")).unwrap();
    for row in rows(&ours).lines() {
        let columns: Vec<_> = row.split('|').collect();
        assert!(native.contains(&columns[..4].join("\t")), "{row}");
    }
}

#[test]
fn drizzle_and_premain_take_turns() {
    let alone = Server::shared().database();
    native(&alone, &all());
    for premain_first in [true, false] {
        let shared = Server::shared().database();
        let half = first(&all(), 1);
        if premain_first {
            migrate(&shared, half.path());
            native(&shared, &all());
        } else {
            native(&shared, half.path());
            migrate(&shared, &all()).says("migrations 2 applied");
        }
        let before = shared.dump();
        migrate(&shared, &all()).says("none pending (3 applied before)");
        native(&shared, &all());
        assert_eq!(shared.dump(), before);
        assert_eq!(dump(&shared), dump(&alone));
    }
}

#[test]
fn a_table_from_before_1_0_is_upgraded_with_the_first_new_migration() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let (journal, upped) = (fixture("drizzle/migrations"), fixture("drizzle/upped"));
    let more = first(&upped, 4);
    let new = more.path().join("20261201000000_new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("migration.sql"), "CREATE TABLE new (a int);").unwrap();
    for database in [&ours, &theirs] {
        node::drizzle("drizzle-orm", database, &journal, None).unwrap();
    }

    // Nothing pending: nothing is touched.
    let before = ours.dump();
    migrate(&ours, &upped).says("none pending (4 applied before)");
    assert_eq!(ours.dump(), before);
    premain(["status", "--exit-code", "--migrations"])
        .with(&upped)
        .database(ours.url())
        .run()
        .code(0);

    migrate(&ours, more.path()).says("upgraded, as its tool does").says("migrations 1 applied");
    native(&theirs, more.path());
    assert_eq!(dump(&ours), dump(&theirs));
    let native_rows = fs::read_to_string(fixture("drizzle/after-1.0-upgrade.dump.sql")).unwrap();
    for row in rows(&ours).lines().take(4) {
        let columns: Vec<_> = row.split('|').collect();
        assert!(native_rows.contains(&columns[..4].join("\t")), "{row}");
        assert_eq!(columns[4], "t", "{row}");
    }
    native(&ours, more.path());
    migrate(&ours, more.path()).says("none pending (5 applied before)");
}

#[test]
fn a_row_from_before_1_0_without_a_migration_is_an_error() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let upped = fixture("drizzle/upped");
    let part = first(&upped, 3);
    for database in [&ours, &theirs] {
        node::drizzle("drizzle-orm", database, &fixture("drizzle/migrations"), None).unwrap();
    }
    run(&ours, part.path()).code(65).says("its row with id 4 (created_at 1795212163160)");
    let error = node::drizzle("drizzle-orm-1", &theirs, part.path(), None).unwrap_err();
    assert!(error.contains("ids: 4"), "{error}");
}

#[test]
fn drift_that_drizzle_ignores_is_logged_and_ignored() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let sql = |name: &str| format!("CREATE TABLE {name} ()\n--> statement-breakpoint\nSELECT 1;");
    let (b, c, late) = (sql("b"), sql("c"), sql("late"));
    let before = directory(&[
        ("20240102000000_b/migration.sql", b.as_str()),
        ("20240102000000_b/snapshot.json", ""),
        ("20240103000000_c.sql/migration.sql", c.as_str()),
    ]);
    let edited = format!("{b}-- edited");
    let after = directory(&[
        ("20240101000000_my late one/migration.sql", late.as_str()),
        ("20240102000000_b/migration.sql", edited.as_str()),
        ("20240102000000_b/snapshot.json", ""),
        ("20240103000000_c.sql/migration.sql", c.as_str()),
        ("notes/readme.txt", ""),
    ]);
    migrate(&ours, before.path());
    migrate(&ours, after.path())
        .says("migration 20240101000000_my late one is out of order")
        .says("migration 20240102000000_b was edited");
    native(&theirs, before.path());
    native(&theirs, after.path());
    let names = "SELECT hash, name FROM drizzle.__drizzle_migrations ORDER BY id";
    assert_eq!(ours.psql(names), theirs.psql(names));
}

#[test]
fn invalid_directories_are_errors() {
    let database = Server::shared().database();
    let mixed = directory(&[
        ("20240102000000_b/migration.sql", ""),
        ("20240102000000_b/snapshot.json", ""),
        ("meta/_journal.json", ""),
    ]);
    run(&database, mixed.path()).code(65).says("of two formats, drizzle and drizzle1");
    let untimed =
        directory(&[("0_init/migration.sql", "CREATE TABLE t ()"), ("0_init/snapshot.json", "")]);
    run(&database, untimed.path()).code(65).says("0_init begins with none");
    assert!(!database.has_table("t"));
}
