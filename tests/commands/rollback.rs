//! `premain rollback`: runs down migrations, newest first, and only when confirmed.

use std::fs;
use std::path::Path;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate, premain};
use crate::support::{directory, node, tools};

const FILES: [(&str, &str); 6] = [
    ("001_a.up.sql", "CREATE TABLE a ()"),
    ("001_a.down.sql", "DROP TABLE a"),
    ("002_b.up.sql", "CREATE TABLE b ()"),
    ("002_b.down.sql", "DROP TABLE b"),
    ("003_c.up.sql", "CREATE TABLE c ()"),
    ("003_c.down.sql", "-- the way down\nDROP TABLE c"),
];

fn rollback(database: &Database<'_>, directory: &Path, words: &[&str]) -> Ended {
    premain(["rollback"])
        .words(words)
        .with("--migrations")
        .with(directory)
        .database(database.url())
        .run()
}

fn migrated(directory: &Path) -> Database<'static> {
    let database = Server::shared().database();
    migrate(directory).database(database.url()).run().code(0);
    database
}

fn versions(database: &Database<'_>) -> String {
    database.psql("SELECT string_agg(version::text, ' ' ORDER BY version) FROM premain_migrations")
}

#[test]
fn rollback_reverts_the_last_migration_or_back_to_a_version_or_all() {
    let place = directory(&FILES);
    let database = migrated(place.path());
    rollback(&database, place.path(), &["--yes"])
        .code(0)
        .says("migration 003_c rolled back in")
        .says("migrations: 1 migration rolled back");
    assert_eq!(versions(&database), "1 2");
    assert!(!database.has_table("c") && database.has_table("b"));
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 1 applied");
    let ended = rollback(&database, place.path(), &["--to", "1", "--yes"]).code(0);
    let places =
        ["migration 003_c rolled", "migration 002_b rolled"].map(|line| ended.log.find(line));
    assert!(places[0].is_some() && places[0] < places[1], "newest first: {}", ended.log);
    assert_eq!(versions(&database), "1");
    rollback(&database, place.path(), &["--to", "2", "--yes"]).code(64).says("is called '2'");
    rollback(&database, place.path(), &["--to", "none", "--yes"]).code(0);
    assert_eq!(versions(&database), "");
    rollback(&database, place.path(), &["--yes"]).code(0).says("nothing to roll back");
}

#[test]
fn rollback_without_a_terminal_requires_yes() {
    let place = directory(&FILES);
    let database = migrated(place.path());
    rollback(&database, place.path(), &[]).code(64).says("give --yes if you are sure");
    premain(["rollback"]).env("PREMAIN_YES", "1").run().code(64);
    assert_eq!(versions(&database), "1 2 3");
}

#[test]
fn rollback_at_a_terminal_shows_the_sql_and_asks() {
    let place = directory(&FILES);
    let database = migrated(place.path());
    let ask = || {
        let asked =
            premain(["rollback", "--migrations"]).with(place.path()).database(database.url());
        let terminal = asked.at_a_terminal();
        terminal.shows("Roll back 1 migration? [y/N]");
        terminal
    };
    for (keys, code, left) in
        [("n\n", 0, "1 2 3"), ("\x04", 0, "1 2 3"), ("\x03", 130, "1 2 3"), ("y\n", 0, "1 2")]
    {
        let mut terminal = ask();
        terminal.types(keys);
        let (ended, screen) = terminal.end();
        assert_eq!(ended, code, "{keys:?}: {screen}");
        assert!(
            screen.contains("-- migration 003_c: ") && screen.contains("DROP TABLE c"),
            "{screen}"
        );
        assert_eq!(versions(&database), left, "{keys:?}: {screen}");
    }
}

#[test]
fn a_missing_down_migration_stops_before_anything_runs() {
    let place = directory(&[FILES[0], FILES[2], FILES[4], FILES[5]]);
    let database = migrated(place.path());
    rollback(&database, place.path(), &["--to", "none", "--yes"])
        .code(65)
        .says("migration 002_b, 001_a has no down migration");
    assert_eq!(versions(&database), "1 2 3");

    // A newer image has migrated; its down migration is not on disk.
    let older = directory(&FILES[..4]);
    rollback(&database, older.path(), &["--yes"])
        .code(65)
        .says("migration 3_c is applied, would be rolled back first, and has no file");
    let drifted = directory(&[("001_a.sql", "other"), FILES[2], FILES[4], FILES[5]]);
    rollback(&database, drifted.path(), &["--yes"]).code(65).says("was edited");
    assert_eq!(versions(&database), "1 2 3");
}

#[test]
fn an_applied_migration_without_a_file_stops_before_older_ones_are_rolled_back() {
    let names = ["1_a", "2_b", "3_c", "4_d"];
    let files = names.map(|name| {
        let table = &name[2..];
        let paths = ["migration.sql", "down.sql"].map(|file| format!("{name}/{file}"));
        (paths, [format!("CREATE TABLE {table} ()"), format!("DROP TABLE {table}")])
    });
    let place = |names: &[&str]| {
        let place = directory(&[("migration_lock.toml", "provider = \"postgresql\"")]);
        for ([up, down], sql) in files.iter().filter(|([up, _], _)| names.contains(&&up[..3])) {
            fs::create_dir(place.path().join(&up[..3])).unwrap();
            fs::write(place.path().join(up), &sql[0]).unwrap();
            fs::write(place.path().join(down), &sql[1]).unwrap();
        }
        place
    };
    let database = migrated(place(&["1_a", "2_b", "3_c"]).path());
    let before = database.dump();
    let says = "is applied, would be rolled back first, and has no file";
    for (files, words, missing) in [
        (&["1_a", "3_c"][..], &["--to", "1_a"][..], "2_b"),
        (&["1_a", "3_c"], &["--to", "none"], "2_b"),
        // The last one that is recorded; a newer one is pending.
        (&["1_a", "2_b", "4_d"], &[], "3_c"),
        (&["4_d"], &[], "1_a, 2_b, 3_c"),
    ] {
        let words = [words, &["--yes"]].concat();
        let ended = rollback(&database, place(files).path(), &words).code(65);
        ended.says(&format!("migration {missing} {says}"));
        assert_eq!(database.dump(), before, "{words:?}");
    }
    rollback(&database, place(&["1_a", "3_c"]).path(), &["--yes"]).code(0).says("3_c rolled back");
}

#[test]
fn a_failing_down_migration_keeps_nothing() {
    let place = directory(&[
        FILES[0],
        FILES[2],
        ("002_b.down.sql", "DROP TABLE b;\nTABLE nothing;"),
        FILES[4],
        FILES[5],
    ]);
    let database = migrated(place.path());
    rollback(&database, place.path(), &["--to", "1", "--yes"])
        .code(76)
        .says("migration 003_c rolled back in")
        .says("002_b.down.sql:2:7")
        .says("nothing of migration 002_b was rolled back");
    assert_eq!(versions(&database), "1 2");
    assert!(database.has_table("b"));
    let psql = directory(&[FILES[0], FILES[2], ("002_b.down.sql", "\\dt")]);
    rollback(&database, psql.path(), &["--yes"]).code(65).says("\\dt is a command of psql's");
}

#[test]
fn prisma_applies_a_rolled_back_migration_again() {
    let place = directory(&[
        ("migration_lock.toml", "provider = \"postgresql\"\n"),
        ("1_a/migration.sql", "CREATE TABLE a (id int);\n"),
        ("2_b/migration.sql", "CREATE TABLE b (id int);\n"),
        ("2_b/down.sql", "DROP TABLE b;\n"),
    ]);
    let database = migrated(place.path());
    rollback(&database, place.path(), &["--yes"]).code(0).says("migration 2_b rolled back");
    assert!(!database.has_table("b"));
    let applied = node::prisma("apply", &database, place.path(), "").unwrap();
    assert!(applied.contains("2_b") && !applied.contains("1_a"), "{applied}");
    assert!(database.has_table("b"));
    migrate(place.path()).database(database.url()).run().code(0).says("none pending (2 applied");
}

#[test]
fn a_down_migration_may_run_without_a_transaction() {
    let place = directory(&[
        ("001_a.up.sql", "CREATE TABLE a (i int); CREATE INDEX j ON a (i)"),
        ("001_a.down.sql", "DROP INDEX CONCURRENTLY j;\nTABLE nothing;"),
    ]);
    let database = migrated(place.path());
    rollback(&database, place.path(), &["--yes"])
        .code(65)
        .says("1 of its 2 statements were kept")
        .says("kept: statement 1 (line 1): DROP INDEX CONCURRENTLY j")
        .says("'premain resolve --applied 1' and roll it back again");
    rollback(&database, place.path(), &["--yes"]).code(65).says("is rolled back only halfway");
    premain(["resolve", "--applied", "1", "--migrations"])
        .with(place.path())
        .database(database.url())
        .run()
        .code(0);
    fs::write(
        place.path().join("001_a.down.sql"),
        "DROP INDEX CONCURRENTLY IF EXISTS j; DROP TABLE a",
    )
    .unwrap();
    rollback(&database, place.path(), &["--yes"]).code(0);
    assert!(!database.has_table("a"));
    assert_eq!(versions(&database), "");
}

#[test]
fn the_confirmed_sql_is_what_runs() {
    let place = directory(&FILES);
    let database = migrated(place.path());
    let mut terminal = premain(["rollback", "--migrations"])
        .with(place.path())
        .database(database.url())
        .at_a_terminal();
    terminal.shows("Roll back 1 migration? [y/N]");
    database.psql("DROP TABLE c; DELETE FROM premain_migrations WHERE version = 3");
    terminal.types("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 75, "{screen}");
    assert!(screen.contains("another session migrated in the meantime"), "{screen}");
    assert_eq!(versions(&database), "1 2");
}

/// Two migrations with their down migrations, as the tool has them.
fn there_and_back(format: &str) -> tempfile::TempDir {
    let one = |table: &str| match format {
        "dbmate" => format!(
            "-- migrate:up\nCREATE TABLE {table} ();\n-- migrate:down\nDROP TABLE {table};\n"
        ),
        _ => {
            format!("-- +goose Up\nCREATE TABLE {table} ();\n-- +goose Down\nDROP TABLE {table};\n")
        }
    };
    let (a, b) = (one("a"), one("b"));
    match format {
        "sqlx" | "golang-migrate" => directory(&[
            ("1_a.up.sql", "CREATE TABLE a ();"),
            ("1_a.down.sql", "DROP TABLE a;"),
            ("2_b.up.sql", "CREATE TABLE b ();"),
            ("2_b.down.sql", "DROP TABLE b;"),
        ]),
        _ => directory(&[("1_a.sql", &a), ("2_b.sql", &b)]),
    }
}

#[test]
fn each_tool_continues_after_premain_rollback() {
    for (format, versions) in [
        ("sqlx", "SELECT version FROM _sqlx_migrations"),
        ("dbmate", "SELECT version FROM schema_migrations"),
        ("golang-migrate", "SELECT version FROM schema_migrations"),
        ("goose", "SELECT version_id FROM goose_db_version WHERE version_id > 0"),
    ] {
        let place = there_and_back(format);
        let database = Server::shared().database();
        let words = ["--format", format];
        let up = || migrate(place.path()).words(words).database(database.url()).run().code(0);
        up();
        let last = ["--format", format, "--yes"];
        rollback(&database, place.path(), &last).code(0).says("1 migration rolled back");
        assert_eq!(database.psql(versions), "1", "{format}");
        assert!(database.has_table("a") && !database.has_table("b"), "{format}");
        match format {
            "sqlx" => _ = tools::sqlx(&database, place.path(), &["run"]).unwrap(),
            "dbmate" => _ = tools::dbmate(&database, place.path(), "migrate").unwrap(),
            _ => _ = up().says("migrations 1 applied"),
        }
        assert!(database.has_table("b"), "{format}");
        let all = ["--format", format, "--to", "none", "--yes"];
        rollback(&database, place.path(), &all).code(0).says("2 migrations rolled back");
        assert_eq!(database.psql(versions), "", "{format}");
        assert!(!database.has_table("a"), "{format}");
        up().says("migrations 2 applied");
    }
}
