//! `premain validate`: all errors with their places; errors also stop `migrate` before anything runs.

use std::fs;

use crate::support::directory;
use crate::support::postgres::Server;
use crate::support::premain::{Ended, migrate, premain};

fn validate(place: &tempfile::TempDir) -> Ended {
    premain(["validate", "--migrations", "."]).within(place.path()).run()
}

#[test]
fn a_directory_without_errors_is_valid() {
    let place =
        directory(&[("001_a.sql", "CREATE TABLE a ();\n"), ("002_b.sql", "SELECT '\\d';\n")]);
    let ended = validate(&place).code(0).says("(sql, 2 files): 0 errors, 0 warnings");
    assert_eq!(ended.output, "");
    premain(["validate", "--migrations", "none"]).run().code(0);
}

#[test]
fn errors_end_with_65_and_warnings_do_not() {
    let place = directory(&[
        ("001_a.sql", "CREATE TABLE a ();\nCOPY a FROM stdin;\n\\.\n"),
        ("002_b.sql", "BEGIN;\nCREATE TABLE b ();\nCOMMIT;\n"),
        ("003_c.sql", "-- später\n"),
    ]);
    let ended = validate(&place).code(65).says("1 error, 2 warnings");
    let lines: Vec<_> = ended.output.lines().collect();
    assert!(lines[0].starts_with("./001_a.sql:2:1: error: COPY from stdin"), "{lines:?}");
    assert!(lines[1].starts_with("./002_b.sql:3:1: warning: it ends the transaction"), "{lines:?}");
    assert!(lines[2].starts_with("./003_c.sql:1:1: warning: it holds no statement"), "{lines:?}");
    fs::remove_file(place.path().join("001_a.sql")).unwrap();
    validate(&place).code(0).says("0 errors, 2 warnings");
}

#[test]
fn all_files_that_are_not_sql_are_reported() {
    let place = directory(&[("001_a.sql", "SELECT 1;\nSELECT '"), ("003_c.sql", "SELECT 1;\n")]);
    fs::write(place.path().join("002_b.sql"), b"-- ok\n-- gr\xfc\xdfe\n").unwrap();
    fs::write(place.path().join("003_c.sql"), b"S\0E\0").unwrap();
    let ended = validate(&place).code(65);
    let lines: Vec<_> = ended.output.lines().collect();
    assert!(lines[0].starts_with("./002_b.sql:2:6: error: this is not UTF-8"), "{lines:?}");
    assert!(lines[1].starts_with("./003_c.sql:1:2: error: a NUL byte"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn colliding_names_are_reported() {
    let place = directory(&[("001_a.sql", "SELECT 1"), ("1_b.sql", "SELECT 1")]);
    let ended = validate(&place).code(65);
    assert!(
        ended.output.contains("./001_a.sql and ./1_b.sql both have version 1"),
        "{}",
        ended.output
    );
}

#[test]
fn journals_that_make_drizzle_skip_migrations_are_reported() {
    let entry = |idx, when, tag| {
        format!(
            r#"{{"idx": {idx}, "version": "7", "when": {when}, "tag": "{tag}", "breakpoints": true}}"#
        )
    };
    let entries =
        [entry(0, 10, "0000_a"), entry(1, 30, "0001_b"), entry(1, 20, "0001_c")].join(",\n");
    let journal =
        format!("{{\"version\": \"7\", \"dialect\": \"postgresql\", \"entries\": [\n{entries}]}}");
    let place = directory(&[
        ("meta/_journal.json", &journal),
        ("0000_a.sql", "SELECT 1"),
        ("0001_b.sql", "SELECT 1"),
        ("0001_c.sql", "SELECT 1"),
        ("0000_d.sql", "SELECT 1"),
    ]);
    let ended = validate(&place).code(0).says("0000_d.sql is not a migration");
    let expected =
        ["_journal.json:4:47: warning: 0001_c has a 'when' before", "0001_c has the idx of 0001_b"];
    for text in expected {
        assert!(ended.output.contains(text), "{text}: {}", ended.output);
    }
}

#[test]
fn a_missing_prisma_lock_file_is_reported() {
    let place = directory(&[("1_a/migration.sql", "SELECT 1;\n")]);
    let ended = validate(&place).code(0);
    assert!(ended.output.starts_with("./migration_lock.toml: warning:"), "{}", ended.output);
}

#[test]
fn invalid_migrations_stop_a_start_before_anything_runs() {
    let database = Server::shared().database();
    for mistake in ["\\connect other", "COPY a FROM STDIN;", "<<<<<<< A\n=======\n>>>>>>> B\n"] {
        let place = directory(&[("001_a.sql", "CREATE TABLE a ()"), ("002_b.sql", mistake)]);
        migrate(place.path())
            .database(database.url())
            .run()
            .code(65)
            .says("002_b.sql:1:1: ")
            .says("no migration was run");
        assert!(!database.has_table("a") && !database.has_table("premain_migrations"));
    }
}
