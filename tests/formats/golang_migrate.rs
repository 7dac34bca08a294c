//! golang-migrate and premain take turns on one database, and neither notices the other.
//!
//! The tests have no package of the tool; in its place they run the statements of its
//! source (`database/postgres/postgres.go` of version 4), which change the history table in two places.

use std::path::Path;

use super::sqlx::crc32;
use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain, waits_for_lock};

const FILES: [(&str, &str); 5] = [
    ("000001_a.up.sql", "CREATE TABLE a (id int);"),
    ("000001_a.down.sql", "DROP TABLE a;"),
    ("000002_b.up.sql", "CREATE TABLE b (id int);"),
    ("000002_b.down.sql", "DROP TABLE b;"),
    ("000010_c.up.sql", "CREATE TABLE c (id int);"),
];

fn run(database: &Database<'_>, directory: &Path, words: &[&str]) -> Ended {
    premain(words)
        .words(["--format", "golang-migrate", "--migrations"])
        .with(directory)
        .database(database.url())
        .run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory, &["migrate"]).code(0)
}

/// `ensureVersionTable`
fn create(database: &Database<'_>) {
    database.psql(
        "CREATE TABLE IF NOT EXISTS \"public\".\"schema_migrations\" (version bigint not null primary key, dirty boolean not null)",
    );
}

/// `SetVersion`
fn set_version(database: &Database<'_>, version: i64, dirty: bool) {
    database.psql(&format!(
        "BEGIN; TRUNCATE \"public\".\"schema_migrations\"; \
         INSERT INTO \"public\".\"schema_migrations\" (version, dirty) VALUES ({version}, {dirty}); COMMIT"
    ));
}

fn row(database: &Database<'_>) -> String {
    database.psql("SELECT version, dirty FROM schema_migrations")
}

#[test]
fn premain_leaves_the_same_database_as_golang_migrate() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let place = directory(&FILES);
    migrate(&ours, place.path())
        .says(" (golang-migrate, 3 files), history table schema_migrations")
        .says("migration 000010_c applied in");
    create(&theirs);
    for (version, name) in [(1, "a"), (2, "b"), (10, "c")] {
        set_version(&theirs, version, true);
        theirs.psql(&format!("CREATE TABLE {name} (id int)"));
        set_version(&theirs, version, false);
    }
    assert_eq!(ours.dump(), theirs.dump());
}

#[test]
fn premain_continues_where_golang_migrate_stopped() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    create(&database);
    database.psql("CREATE TABLE a (id int)");
    set_version(&database, 1, false);
    migrate(&database, place.path()).says("2 of 3 pending").says("migrations 2 applied");
    assert_eq!(row(&database), "10|f");
    migrate(&database, place.path()).says("none pending (3 applied before)");

    // `migrate down 1`
    database.psql("DROP TABLE c");
    set_version(&database, 2, false);
    migrate(&database, place.path()).says("migration 000010_c applied");
}

#[test]
fn a_dirty_version_stops_until_it_is_resolved() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    create(&database);
    set_version(&database, 2, true);
    run(&database, place.path(), &["migrate"])
        .code(65)
        .says("migration 000002_b failed halfway: it is dirty")
        .says("'premain resolve --applied 2'");
    // `migrate force 2`
    set_version(&database, 2, false);
    migrate(&database, place.path()).says("migration 000010_c applied");
    // The down migration of the first one.
    set_version(&database, -1, true);
    run(&database, place.path(), &["migrate"]).code(65).says("migration -1 failed halfway");
}

#[test]
fn a_version_without_a_file_stops_unless_it_is_newer() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    create(&database);
    set_version(&database, 11, false);
    migrate(&database, place.path()).says("is ahead of this image: migration 11 has no file");
    set_version(&database, 5, false);
    run(&database, place.path(), &["migrate"])
        .code(65)
        .says("migration 5 is applied but has no file");
}

#[test]
fn a_baseline_records_the_newest_version() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql("CREATE TABLE a (id int); CREATE TABLE b (id int)");
    run(&database, place.path(), &["migrate"]).code(65).says("premain baseline VERSION");
    run(&database, place.path(), &["baseline", "2"]).code(0);
    assert_eq!(row(&database), "2|f");
    migrate(&database, place.path()).says("migrations 1 applied");
}

#[test]
fn a_failing_migration_keeps_nothing_and_is_not_dirty() {
    let database = Server::shared().database();
    let place = directory(&[FILES[0], ("2_bad.up.sql", "CREATE TABLE bad (); SELECT 1/0;")]);
    run(&database, place.path(), &["migrate"]).code(76).says("migration 2_bad failed at");
    assert_eq!(row(&database), "1|f");
    assert!(!database.has_table("bad"));
}

#[test]
fn dbmates_table_of_the_same_name_is_rejected() {
    let database = Server::shared().database();
    database.psql("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)");
    run(&database, directory(&FILES).path(), &["migrate"]).code(65).says("another tool's table");
}

/// `GenerateAdvisoryLockId`: of the command, which puts a slash in front, and of the library.
#[test]
fn premain_waits_for_both_locks_of_golang_migrate() {
    let key = |name: &str| crc32(name.as_bytes()).wrapping_mul(1_486_364_155);
    // From the tool's own test.
    assert_eq!(key("schema_name_1\0schema_name_2\0database_name"), 3_743_845_847);
    let database = Server::shared().database();
    let place = directory(&FILES[..1]);
    for slash in ["/", ""] {
        let key = key(&format!("public\0schema_migrations\0{slash}{}", database.name));
        database.psql("DROP TABLE IF EXISTS a, schema_migrations");
        let migrate = premain(["migrate", "--format", "golang-migrate", "--migrations"]);
        waits_for_lock(&database, key, migrate.with(place.path())).says("migrations 1 applied");
    }
}
