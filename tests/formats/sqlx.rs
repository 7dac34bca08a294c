//! sqlx and premain take turns on one database, and neither notices the other.

use std::fs;
use std::path::Path;

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain};
use crate::support::tools::sqlx;

const FILES: [(&str, &str); 4] = [
    ("1_init.sql", "CREATE TABLE users (id int);\r\nCREATE TABLE größe ();"),
    ("2_rev.up.sql", "ALTER TABLE users ADD n int;"),
    ("2_rev.down.sql", "ALTER TABLE users DROP n;"),
    ("20260101000003_more_of_it.sql", "-- only a comment\n"),
];

fn run(database: &Database<'_>, directory: &Path) -> Ended {
    let run = premain(["--format", "sqlx", "--migrations"]).with(directory).words(["migrate"]);
    run.database(database.url()).run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory).code(0)
}

/// A dump in which times are alike; they are the only thing that may differ.
fn dump(database: &Database<'_>) -> String {
    assert_eq!(
        database.psql("SELECT count(*) FROM _sqlx_migrations WHERE execution_time < 0"),
        "0"
    );
    database.psql("UPDATE _sqlx_migrations SET installed_on = 'epoch', execution_time = 0");
    database.dump()
}

#[test]
fn premain_leaves_the_same_database_as_sqlx() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let place = directory(&FILES);
    migrate(&ours, place.path())
        .says(" (sqlx, 3 files), history table _sqlx_migrations")
        .says("migration 20260101000003_more_of_it applied in");
    sqlx(&theirs, place.path(), &["run"]).unwrap();
    assert_eq!(dump(&ours), dump(&theirs));
}

#[test]
fn history_rows_equal_those_of_the_fixture() {
    let database = Server::shared().database();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sqlx");
    premain(["baseline", "--format", "sqlx", "--migrations"])
        .with(fixture.join("migrations"))
        .database(database.url())
        .run()
        .code(0);
    let ours = database.psql(
        "SELECT version, description, success, checksum FROM _sqlx_migrations ORDER BY version",
    );
    let native = fs::read_to_string(fixture.join("native-sqlx-cli-0.9.0.dump.sql")).unwrap();
    let rows = native.split("COPY public._sqlx_migrations").nth(1).unwrap();
    let rows = rows.lines().skip(1).take_while(|line| *line != "\\.").map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        let checksum = columns[4].strip_prefix('\\').unwrap();
        format!("{}|{}|{}|{checksum}", columns[0], columns[1], columns[3])
    });
    assert_eq!(ours, rows.collect::<Vec<_>>().join("\n"));
}

#[test]
fn each_continues_where_the_other_stopped() {
    let (half, all) = (directory(&FILES[..1]), directory(&FILES));
    let alone = Server::shared().database();
    sqlx(&alone, all.path(), &["run"]).unwrap();
    let alone = dump(&alone);

    let theirs_first = Server::shared().database();
    sqlx(&theirs_first, half.path(), &["run"]).unwrap();
    migrate(&theirs_first, all.path()).says("migrations 2 applied");
    let ours_first = Server::shared().database();
    migrate(&ours_first, half.path());
    sqlx(&ours_first, all.path(), &["run"]).unwrap();
    for database in [theirs_first, ours_first] {
        let before = database.dump();
        sqlx(&database, all.path(), &["run"]).unwrap();
        migrate(&database, all.path()).says("none pending (3 applied before)");
        assert_eq!(database.dump(), before);
        assert_eq!(dump(&database), alone);
    }
}

#[test]
fn a_migration_reverted_by_sqlx_is_applied_again() {
    let database = Server::shared().database();
    let place = directory(&FILES[..3]);
    migrate(&database, place.path());
    sqlx(&database, place.path(), &["revert"]).unwrap();
    migrate(&database, place.path()).says("migration 2_rev applied");
}

#[test]
fn a_baselined_database_is_up_to_date_for_sqlx() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql("CREATE TABLE users (id int)");
    run(&database, place.path()).code(65).says("no history table _sqlx_migrations");
    premain(["baseline", "1", "--format", "sqlx", "--migrations"])
        .with(place.path())
        .database(database.url())
        .run()
        .code(0);
    assert_eq!(database.psql("SELECT execution_time FROM _sqlx_migrations"), "-1");
    sqlx(&database, place.path(), &["run"]).unwrap();
    migrate(&database, place.path()).says("none pending");
}

#[test]
fn the_history_table_tells_sqlx_from_plain_sql() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    sqlx(&database, place.path(), &["run"]).unwrap();
    let before = database.dump();
    premain(["--migrations"])
        .with(place.path())
        .words(["migrate"])
        .database(database.url())
        .run()
        .code(65)
        .says("until now sqlx managed it (public._sqlx_migrations), whose history premain continues with --format sqlx");
    assert_eq!(database.dump(), before);
}

#[test]
fn drift_is_handled_as_sqlx_does_except_line_ends_and_ahead() {
    let database = Server::shared().database();
    migrate(&database, directory(&FILES).path());
    let edited = |sql| directory(&[(FILES[0].0, sql), FILES[1], FILES[3]]);
    let place = edited("CREATE TABLE other (id int);");
    run(&database, place.path()).code(65).says("migration 1_init was edited");
    sqlx(&database, place.path(), &["run"]).unwrap_err();
    migrate(&database, edited("CREATE TABLE users (id int);\nCREATE TABLE größe ();").path());
    migrate(&database, directory(&FILES[..3]).path()).says("is ahead of this image");
    let place = directory(&FILES[1..]);
    run(&database, place.path()).code(65).says("migration 1_init is applied but has no file");
    sqlx(&database, place.path(), &["run"]).unwrap_err();

    // sqlx applies what is older without a word.
    let late = |name| {
        let mut files = FILES.to_vec();
        files.push((name, "SELECT 1"));
        directory(&files)
    };
    migrate(&database, late("3_late.sql").path()).says("migration 3_late is out of order");
    database.psql("DELETE FROM _sqlx_migrations WHERE version = 3");
    sqlx(&database, late("3_late.sql").path(), &["run"]).unwrap();
}

#[test]
fn a_row_marked_as_failed_stops_both_tools() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    migrate(&database, place.path());
    database.psql("UPDATE _sqlx_migrations SET success = false WHERE version = 2");
    let error = sqlx(&database, place.path(), &["run"]).unwrap_err();
    assert!(error.contains("partially applied"), "{error}");
    run(&database, place.path())
        .code(65)
        .says("migration 2_rev failed halfway")
        .says("'premain resolve --applied 2'");
}

#[test]
fn a_failing_migration_leaves_no_row_with_either_tool() {
    let database = Server::shared().database();
    let place = directory(&[FILES[0], ("2_bad.sql", "CREATE TABLE bad (); SELECT 1/0")]);
    sqlx(&database, place.path(), &["run"]).unwrap_err();
    run(&database, place.path()).code(76).says("2_bad.sql");
    assert_eq!(database.psql("SELECT version FROM _sqlx_migrations"), "1");
    assert!(!database.has_table("bad"));
}

#[test]
fn premain_waits_for_sqlxs_lock() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let key = 0x3d32_ad9e * i64::from(crc32(database.name.as_bytes()));
    let sqlx =
        database.open(&format!("SET application_name = 'sqlx'; SELECT pg_advisory_lock({key});"));
    let mut running = premain(["migrate", "--format", "sqlx", "--migrations"])
        .with(place.path())
        .database(database.url())
        .start();
    running.wait_for("waiting for the migration lock, held by pid");
    running.wait_for("(sqlx, postgres@local");
    drop(sqlx);
    running.end().code(0).says("migrations 3 applied");
}

/// As sqlx computes it.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().flat_map(|byte| (0..8).map(move |bit| u32::from(byte >> bit) & 1)).fold(
        !0,
        |crc: u32, bit| match (crc ^ bit) & 1 {
            0 => crc >> 1,
            _ => (crc >> 1) ^ 0xedb8_8320,
        },
    )
}

#[test]
fn names_that_sqlx_cannot_parse_are_rejected() {
    let place = directory(&[("x_y.sql", "")]);
    premain(["migrate", "--format", "sqlx", "--migrations"])
        .with(place.path())
        .database("postgres://x@127.0.0.1:1/x")
        .run()
        .code(65)
        .says("'x' is not a version");
}
