//! Plain numbered SQL and premain's own history table.

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain};

fn run(database: &Database<'_>, files: &[(&str, &str)]) -> Ended {
    premain(["--migrations"])
        .with(directory(files).path())
        .words(["migrate"])
        .database(database.url())
        .run()
}

fn migrate(database: &Database<'_>, files: &[(&str, &str)]) -> Ended {
    run(database, files).code(0)
}

#[test]
fn files_are_applied_in_the_order_of_their_numbers() {
    let database = Server::shared().database();
    let files = [
        ("9_b.sql", "ALTER TABLE t ADD b int"),
        ("100_c.sql", "ALTER TABLE t DROP b"),
        ("001-create t.sql", "CREATE TABLE t (a int)"),
        ("20240101120000_d.up.sql", "CREATE TABLE d ()"),
        ("20240101120000_d.down.sql", "DROP TABLE d"),
        ("seeds/1_seed.sql", "INSERT INTO t VALUES (1)"),
    ];
    migrate(&database, &files)
        .says(" (sql, 4 files), history table premain_migrations")
        .says("migration 001-create t applied in")
        .says("migrations 4 applied");
    migrate(&database, &files).says("none pending (4 applied before)");
    assert_eq!(
        database.psql("SELECT version, name, duration >= '0', applied_by ~ '^premain \\d', success FROM premain_migrations ORDER BY version"),
        "1|create t|t|t|t\n9|b|t|t|t\n100|c|t|t|t\n20240101120000|d|t|t|t"
    );
    assert!(database.has_table("d"));
}

#[test]
fn checksums_are_sha256_and_ignore_line_ends() {
    let database = Server::shared().database();
    migrate(&database, &[("1_a.sql", "SELECT 1;\n")]);
    assert_eq!(
        database
            .psql("SELECT sha256 = encode(sha256('SELECT 1;\n'), 'hex') FROM premain_migrations"),
        "t"
    );
    migrate(&database, &[("001_renamed.sql", "SELECT 1;\r\n")]).says("none pending");
}

#[test]
fn drift_is_handled_by_the_rules_of_plain_sql() {
    let database = Server::shared().database();
    let files = [("1_a.sql", "SELECT 1"), ("3_c.sql", "SELECT 3"), ("4_d.sql", "SELECT 4")];
    migrate(&database, &files);
    migrate(&database, &files[..2]).says("the database is ahead of this image: migration 4_d");
    run(&database, &files[1..]).code(65).says("migration 1_a is applied but has no file");
    run(&database, &[("1_a.sql", "SELECT 2"), files[1], files[2]])
        .code(65)
        .says("migration 1_a was edited after it was applied on");
    migrate(&database, &[files[0], ("2_b.sql", "CREATE TABLE b ()"), files[1], files[2]])
        .says("migration 2_b is out of order: 4_d is already applied; it is applied nevertheless")
        .says("migration 2_b applied");
    assert!(database.has_table("b"));
}

#[test]
fn a_failed_migration_stops_until_the_history_table_is_corrected() {
    let database = Server::shared().database();
    let files = [("1_a.sql", "SELECT 1")];
    migrate(&database, &files);
    database.psql("UPDATE premain_migrations SET success = false");
    run(&database, &files)
        .code(65)
        .says("migration 1_a failed halfway")
        .says("'premain resolve --rolled-back 1'");
    database.psql("DELETE FROM premain_migrations");
    migrate(&database, &files).says("migrations 1 applied");
}

#[test]
fn invalid_directories_are_errors_before_the_database_is_asked() {
    for (files, text) in [
        (&[("1_a.sql", ""), ("001_b.sql", "")][..], "both have version 1"),
        (&[("1_a.sql", ""), ("1_a.up.sql", "")], "both have version 1"),
        (
            &[("1_a.sql", " -- migrate:up\nSELECT 1;\n -- migrate:down\n")],
            "line 1 is a marker of dbmate: give --format dbmate",
        ),
        (&[("1_a.sql", "\n  -- +goose Up\n")], "line 2 is a marker of goose: give --format goose"),
        (&[("99999999999999999999_a.sql", ""), ("1_b.sql", "")], "too large"),
        (&[("1_a.sql", ""), ("V2__b.sql", "")], "of two formats, refinery and sql"),
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

#[test]
fn two_default_directories_are_an_error_unless_one_is_named() {
    let database = Server::shared().database();
    let place = directory(&[
        ("migrations/1_a.sql", "CREATE TABLE a ()"),
        ("prisma/migrations/1_b/migration.sql", "CREATE TABLE b ()"),
        ("drizzle/schema.ts", ""),
    ]);
    let run = |options: &[&str]| {
        premain(options.iter().copied())
            .words(["migrate"])
            .within(place.path())
            .database(database.url())
            .run()
    };
    run(&[]).code(65).says("./prisma/migrations and ./migrations all hold migrations; choose one");
    run(&["--migrations", "migrations"]).code(0).says("migrations (sql, 1 file)");
    // A directory that is not in the format that was asked for holds nothing.
    run(&["--format", "sql"]).code(0).says("none pending");
    assert!(database.has_table("a") && !database.has_table("b"));
}

#[test]
fn a_new_schema_named_like_the_role_does_not_hide_the_history_table() {
    let server = Server::shared();
    let database = server.database();
    let (name, role) = (&database.name, "shopkeeper");
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    ));
    let place = directory(&[
        ("001_schema.sql", &format!("CREATE SCHEMA {role}")),
        ("002_a.sql", &format!("CREATE TABLE {role}.a ()")),
    ]);
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let start = || premain(["migrate", "--migrations"]).with(place.path()).database(&url).start();
    let running: Vec<_> = (0..10).map(|_| start()).collect();
    for running in running {
        running.end().code(0);
    }
    assert_eq!(database.psql("SELECT count(*) FROM public.premain_migrations"), "2");
    assert!(!database.has_table("shopkeeper.premain_migrations"));
}
