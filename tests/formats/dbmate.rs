//! dbmate and premain take turns on one database, and neither notices the other.

use std::fs;
use std::path::Path;

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain};
use crate::support::tools::dbmate;

const FILES: [(&str, &str); 3] = [
    (
        "001_init.sql",
        "-- The users.\n\n-- migrate:up\nCREATE TABLE users (id int);\nCREATE FUNCTION f() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql;\n\n-- migrate:down\nDROP FUNCTION f; DROP TABLE users;\n",
    ),
    (
        "20260101000001_größe.sql",
        "--migrate:up\r\nALTER TABLE users ADD n int;\r\n\r\n-- migrate:down\r\nALTER TABLE users DROP n;\r\n",
    ),
    ("20260101000002-no_way_back.sql", "-- migrate:up\n-- migrate:down\n"),
];

fn run(database: &Database<'_>, directory: &Path) -> Ended {
    let run = premain(["--migrations"]).with(directory).words(["migrate"]);
    run.database(database.url()).run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory).code(0)
}

#[test]
fn premain_leaves_the_same_database_as_dbmate() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let place = directory(&FILES);
    migrate(&ours, place.path())
        .says(" (dbmate, 3 files), history table schema_migrations")
        .says("migration 001_init applied in");
    dbmate(&theirs, place.path(), "migrate").unwrap();
    assert_eq!(ours.dump(), theirs.dump());
}

#[test]
fn history_rows_equal_those_of_the_fixture() {
    let database = Server::shared().database();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dbmate");
    premain(["baseline", "--migrations"])
        .with(fixture.join("migrations"))
        .database(database.url())
        .run()
        .code(0);
    let native = fs::read_to_string(fixture.join("native-dbmate-2.36.0.dump.sql")).unwrap();
    let rows = native.split("COPY public.schema_migrations (version) FROM stdin;\n").nth(1);
    let rows = rows.unwrap().split("\n\\.").next().unwrap();
    assert_eq!(database.psql("SELECT version FROM schema_migrations ORDER BY version"), rows);
}

#[test]
fn each_continues_where_the_other_stopped() {
    let (half, all) = (directory(&FILES[..1]), directory(&FILES));
    let alone = Server::shared().database();
    dbmate(&alone, all.path(), "migrate").unwrap();

    let theirs_first = Server::shared().database();
    dbmate(&theirs_first, half.path(), "migrate").unwrap();
    migrate(&theirs_first, all.path()).says("migrations 2 applied");
    let ours_first = Server::shared().database();
    migrate(&ours_first, half.path());
    dbmate(&ours_first, all.path(), "migrate").unwrap();
    for database in [theirs_first, ours_first] {
        dbmate(&database, all.path(), "migrate").unwrap();
        migrate(&database, all.path()).says("none pending (3 applied before)");
        assert_eq!(database.dump(), alone.dump());
    }
}

#[test]
fn a_migration_rolled_back_by_dbmate_is_applied_again() {
    let database = Server::shared().database();
    let place = directory(&FILES[..2]);
    migrate(&database, place.path());
    dbmate(&database, place.path(), "rollback").unwrap();
    migrate(&database, place.path()).says("migration 20260101000001_größe applied");
}

#[test]
fn a_baselined_database_is_up_to_date_for_dbmate() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql("CREATE TABLE users (id int)");
    run(&database, place.path()).code(65).says("no history table schema_migrations");
    premain(["baseline", "1", "--migrations"])
        .with(place.path())
        .database(database.url())
        .run()
        .code(0);
    dbmate(&database, place.path(), "migrate").unwrap();
    migrate(&database, place.path()).says("none pending (3 applied before)");
}

#[test]
fn versions_follow_the_order_of_dbmates_file_names() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let step =
        |n: &str| format!("-- migrate:up\nINSERT INTO steps VALUES ('{n}');\n-- migrate:down\n");
    let files = [
        ("001_a.sql", "-- migrate:up\nCREATE TABLE steps (n text);\n-- migrate:down\n".to_owned()),
        ("10_c.sql", step("10")),
        ("1_b.sql", step("1")),
        ("9_d.sql", step("9")),
    ];
    let files: Vec<_> = files.iter().map(|(name, sql)| (*name, sql.as_str())).collect();
    let place = directory(&files);
    migrate(&ours, place.path());
    dbmate(&theirs, place.path(), "migrate").unwrap();
    assert_eq!(ours.psql("SELECT n FROM steps"), "10\n1\n9");
    assert_eq!(ours.dump(), theirs.dump());
}

#[test]
fn drift_is_handled_as_dbmate_does_and_logged() {
    let database = Server::shared().database();
    migrate(&database, directory(&FILES).path());
    migrate(&database, directory(&FILES[1..]).path())
        .says("migration 001 is applied but has no file");
    migrate(&database, directory(&FILES[..2]).path()).says("is ahead of this image");
    let mut files = FILES.to_vec();
    files.push(("002_late.sql", "-- migrate:up\n-- migrate:down\n"));
    migrate(&database, directory(&files).path())
        .says("migration 002_late is out of order: 20260101000002-no_way_back is already applied; it is applied nevertheless");
}

#[test]
fn a_failing_migration_leaves_no_row_with_either_tool() {
    let database = Server::shared().database();
    let bad = ("2_bad.sql", "-- migrate:up\nCREATE TABLE bad ();\nSELECT 1/0;\n-- migrate:down\n");
    let place = directory(&[FILES[0], bad]);
    dbmate(&database, place.path(), "migrate").unwrap_err();
    run(&database, place.path()).code(76).says("migration 2_bad failed at");
    assert_eq!(database.psql("SELECT version FROM schema_migrations"), "001");
    assert!(!database.has_table("bad"));
}

#[test]
fn an_error_is_shown_at_its_place_in_the_file() {
    let database = Server::shared().database();
    let sql = "-- why\n-- migrate:up\nSELECT nme FROM pg_class;\n-- migrate:down\n";
    run(&database, directory(&[("1_x.sql", sql)]).path()).code(76).says("1_x.sql:3:8:");
}

#[test]
fn golang_migrates_table_of_the_same_name_is_rejected() {
    let database = Server::shared().database();
    database.psql("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean)");
    run(&database, directory(&FILES).path()).code(65).says("it is golang-migrate's");
}

#[test]
fn invalid_directories_are_errors_before_the_database_is_asked() {
    for (files, text) in [
        (
            &[("1_a.sql", "-- migrate:up"), ("2_b.sql", "SELECT 1")][..],
            "of two formats, dbmate and sql",
        ),
        (
            &[("1_a.sql", "-- migrate:up"), ("2_b.sql", "-- +goose Up")],
            "of two formats, dbmate and goose",
        ),
        (
            &[("1_a.sql", "SELECT 1;\n-- migrate:up\n-- migrate:down")],
            "a statement comes before '-- migrate:up'",
        ),
        (&[("1_a.sql", "-- migrate:up"), ("1_b.sql", "-- migrate:up")], "both have version 1"),
    ] {
        premain(["--migrations"])
            .with(directory(files).path())
            .words(["migrate"])
            .database("postgres://x@127.0.0.1:1/x")
            .run()
            .code(65)
            .says(text);
    }
}
