//! Drizzle before 1.0 and premain take turns on one database, and neither notices the other.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::node;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain};

/// What drizzle-kit 0.31.11 made, and what it and drizzle-orm 0.45.4 made of it.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn all() -> PathBuf {
    fixture("drizzle/migrations")
}

/// A directory with these migrations: `when`, name and SQL.
fn journal(entries: &[(i64, &str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("meta")).unwrap();
    let lines = entries.iter().map(|(when, tag, sql)| {
        fs::write(directory.path().join(format!("{tag}.sql")), sql).unwrap();
        // Neither idx nor version nor breakpoints mean anything.
        format!(
            r#"{{"idx": 7, "version": "5", "when": {when}, "tag": "{tag}", "breakpoints": false}}"#
        )
    });
    let lines = lines.collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"version": "7", "dialect": "postgresql", "entries": [{lines}]}}"#);
    fs::write(directory.path().join("meta/_journal.json"), text).unwrap();
    directory
}

/// The fixture's journal with its first entries alone.
fn first(count: usize) -> TempDir {
    let text = fs::read_to_string(all().join("meta/_journal.json")).unwrap();
    let journal_of_all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries: Vec<_> = journal_of_all["entries"].as_array().unwrap()[..count]
        .iter()
        .map(|entry| {
            let tag = entry["tag"].as_str().unwrap();
            let sql = fs::read_to_string(all().join(format!("{tag}.sql"))).unwrap();
            (entry["when"].as_i64().unwrap(), tag, sql)
        })
        .collect();
    let entries: Vec<_> =
        entries.iter().map(|(when, tag, sql)| (*when, *tag, sql.as_str())).collect();
    journal(&entries)
}

fn run(database: &Database<'_>, directory: &Path) -> Ended {
    premain(["--migrations"]).with(directory).words(["migrate"]).database(database.url()).run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory).code(0)
}

fn native(database: &Database<'_>, directory: &Path) {
    node::drizzle("drizzle-orm", database, directory, None).unwrap();
}

fn rows(database: &Database<'_>) -> String {
    database.psql("SELECT id, hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id")
}

/// A dump without the times at which the fixture's rows were inserted.
fn dump(database: &Database<'_>) -> String {
    database.psql("UPDATE users SET created_at = 'epoch'");
    database.dump()
}

#[test]
fn premain_leaves_the_same_database_as_drizzle() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, &all())
        .says("migrations (drizzle, 4 files), history table drizzle.__drizzle_migrations")
        .says("migration 0001_orders applied in");
    native(&theirs, &all());
    assert_eq!(dump(&ours), dump(&theirs));
}

#[test]
fn history_rows_equal_those_of_the_fixtures() {
    let database = Server::shared().database();
    migrate(&database, &all());
    for dump in ["native-drizzle-kit-0.31.11.dump.sql", "native-drizzle-orm-0.45.4.dump.sql"] {
        let native = fs::read_to_string(fixture("drizzle").join(dump)).unwrap();
        let recorded = native.split("COPY drizzle.__drizzle_migrations").nth(1).unwrap();
        let recorded: Vec<_> = recorded.lines().skip(1).take_while(|line| *line != "\\.").collect();
        assert_eq!(rows(&database), recorded.join("\n").replace('\t', "|"), "{dump}");
    }
}

#[test]
fn premain_continues_where_drizzle_stopped() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    native(&shared, first(2).path());
    migrate(&shared, &all()).says("migrations 2 applied");
    let before = shared.dump();
    native(&shared, &all());
    assert_eq!(shared.dump(), before);
    native(&alone, &all());
    assert_eq!(dump(&shared), dump(&alone));
}

#[test]
fn drizzle_continues_where_premain_stopped() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    migrate(&shared, first(2).path());
    native(&shared, &all());
    let before = shared.dump();
    migrate(&shared, &all()).says("none pending (4 applied before)");
    assert_eq!(shared.dump(), before);
    native(&alone, &all());
    assert_eq!(dump(&shared), dump(&alone));
}

#[test]
fn drizzle_kit_and_premain_take_turns() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    node::drizzle_kit(&shared, first(1).path()).unwrap();
    migrate(&shared, first(3).path()).says("migrations 2 applied");
    node::drizzle_kit(&shared, &all()).unwrap();
    let before = shared.dump();
    migrate(&shared, &all()).says("none pending (4 applied before)");
    node::drizzle_kit(&shared, &all()).unwrap();
    assert_eq!(shared.dump(), before);
    migrate(&alone, &all());
    assert_eq!(dump(&shared), dump(&alone));

    // Of a failure it tells the status alone; premain tells what and where.
    let bad = journal(&[(1, "0000_bad", "CREATE TABLE t (\n  a intt\n);")]);
    let database = Server::shared().database();
    let silent = node::drizzle_kit(&database, bad.path()).unwrap_err();
    assert!(!silent.contains("intt"), "{silent}");
    run(&database, bad.path()).code(76).says("0000_bad.sql:2:5: type \"intt\" does not exist");
}

#[test]
fn the_history_table_can_be_named() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    for _ in 0..2 {
        premain(["--history-table", "app_meta.\"My \"\"journal\"\"\"", "--migrations"])
            .with(all())
            .words(["migrate"])
            .database(ours.url())
            .run()
            .code(0);
    }
    let history_table = Some(("app_meta", "My \"journal\""));
    node::drizzle("drizzle-orm", &theirs, &all(), history_table).unwrap();
    assert_eq!(dump(&ours), dump(&theirs));
    node::drizzle("drizzle-orm", &ours, &all(), history_table).unwrap();
    assert_eq!(dump(&ours), dump(&theirs));

    // As in drizzle.config.ts, the schema has a default of its own.
    let other = Server::shared().database();
    premain(["--history-table", "journal", "--migrations"])
        .with(all())
        .words(["migrate"])
        .database(other.url())
        .run()
        .code(0);
    assert!(other.has_table("drizzle.journal"));
}

#[test]
fn breakpoints_are_optional_and_the_history_table_may_be_in_public() {
    let database = Server::shared().database();
    let directory = fixture("drizzle-timestamps/migrations");
    premain(["--history-table", "public.journal", "--migrations"])
        .with(&directory)
        .words(["migrate"])
        .database(database.url())
        .run()
        .code(0);
    node::drizzle("drizzle-orm", &database, &directory, Some(("public", "journal"))).unwrap();
    let dump =
        fs::read_to_string(fixture("drizzle-timestamps/native-drizzle-kit-0.31.11.dump.sql"));
    let row = database.psql("SELECT id, hash, created_at FROM journal").replace('|', "\t");
    assert!(dump.unwrap().contains(&row), "{row}");
}

#[test]
fn statements_are_split_where_drizzle_splits_them() {
    let directory = journal(&[
        (1, "0000_no_semicolons", "CREATE TABLE a ()\n--> statement-breakpoint\nCREATE TABLE b ()"),
        (2, "0001_same_line", "CREATE TABLE c ();--> statement-breakpoint CREATE TABLE d ();"),
        (
            3,
            "0002_comment",
            "CREATE TABLE e () -- five --> statement-breakpoint\nCREATE TABLE f ()",
        ),
        (4, "0003_no_space", "CREATE TABLE g ();-->statement-breakpoint\nCREATE TABLE h ();"),
        (5, "0004_twice", "--> statement-breakpoint\n--> statement-breakpoint\nSELECT 1;"),
        (
            6,
            "0005_crlf",
            "CREATE TABLE i ();\r\n--> statement-breakpoint\r\nCREATE TABLE j ();\r\n",
        ),
        (7, "0006_comment_only", "-- nothing here"),
    ]);
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, directory.path());
    native(&theirs, directory.path());
    assert_eq!(ours.dump(), theirs.dump());
    assert!("abcdefghij".chars().all(|table| ours.has_table(&table.to_string())));
}

#[test]
fn invalid_utf_8_is_read_and_hashed_as_drizzle_does() {
    let directory = journal(&[(1, "0000_latin1", "")]);
    let sql = b"CREATE TABLE t (a text DEFAULT 'gr\xfc\xdfe \xe2\x82 \xf0\x9f\x92');";
    fs::write(directory.path().join("0000_latin1.sql"), sql).unwrap();
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, directory.path()).says("0000_latin1.sql: line 1 is not UTF-8");
    native(&theirs, directory.path());
    assert_eq!(ours.dump(), theirs.dump());
}

#[test]
fn an_error_is_shown_at_its_place_and_nothing_is_kept() {
    let database = Server::shared().database();
    let sql = "CREATE TABLE größe ();--> statement-breakpoint\nCREATE TABLE b ();\n--> statement-breakpoint\n  SELECT nme FROM b;";
    let directory = journal(&[(1, "0000_good", "CREATE TABLE good ()"), (2, "0001_bad", sql)]);
    run(&database, directory.path())
        .code(76)
        .says("0001_bad.sql:4:10: column \"nme\" does not exist (42703 undefined_column)")
        .says("nothing of migration 0001_bad was kept")
        .says("1 of 2 migrations were applied before it: 0000_good");
    assert!(!database.has_table("b"));
}

#[test]
fn a_migration_that_commits_may_run_no_transaction_statements() {
    let directory = journal(&[
        (1, "0000_t", "CREATE TABLE t (a int)"),
        (2, "0001_hack", "COMMIT;--> statement-breakpoint\nCREATE INDEX CONCURRENTLY i ON t (a);"),
        (3, "0002_after", "CREATE TABLE after_hack (x int)"),
        (4, "0003_whole", "BEGIN;\nCREATE TABLE whole (x int);\nCOMMIT;"),
    ]);
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, directory.path()).says_nothing_of("the server warns");
    native(&theirs, directory.path());
    assert_eq!(ours.dump(), theirs.dump());
    migrate(&ours, directory.path()).says("none pending");
}

#[test]
fn statements_committed_before_a_failure_are_listed() {
    for (name, sql) in [
        ("0000_parts", "CREATE TABLE one ();\nCOMMIT;--> statement-breakpoint\nSELECT nme;"),
        ("0000_together", "CREATE TABLE two ();\nCOMMIT;\nSELECT nme;"),
        (
            "0000_again",
            "CREATE TABLE three ();\nCOMMIT;\nBEGIN;\nCREATE TABLE four ();--> statement-breakpoint\nSELECT nme;",
        ),
    ] {
        let database = Server::shared().database();
        let directory = journal(&[(1, name, sql)]);
        run(&database, directory.path())
            .code(65)
            .says("what comes before that was kept")
            .says("undo");
        run(&database, directory.path()).code(65).says(&format!("{name} failed halfway"));
        let tables = ["one", "two", "three"].map(|table| database.has_table(table));
        assert_eq!(tables.iter().filter(|exists| **exists).count(), 1);
        assert!(!database.has_table("four"));
        assert_eq!(rows(&database), "");
    }
}

#[test]
fn a_new_enum_value_can_be_used_by_the_next_migration() {
    let database = Server::shared().database();
    let directory = journal(&[
        (1, "0000_enum", "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood)"),
        (2, "0001_add", "ALTER TYPE mood ADD VALUE 'happy'"),
        (3, "0002_use", "INSERT INTO t VALUES ('happy')"),
    ]);
    // Drizzle itself fails here: all that is pending is one transaction to it.
    migrate(&database, directory.path());
    native(&database, directory.path());
    assert_eq!(rows(&database).lines().count(), 3);
}

#[test]
fn drift_that_drizzle_ignores_is_logged_and_ignored() {
    let database = Server::shared().database();
    native(&database, &all());
    let directory = first(4);
    let edited = directory.path().join("0000_init.sql");
    let sql = fs::read_to_string(&edited).unwrap();
    fs::write(&edited, format!("{sql}-- edited")).unwrap();
    fs::write(directory.path().join("0001_nobody.sql"), "CREATE TABLE nobody ()").unwrap();
    fs::write(directory.path().join("0004_late.sql"), "CREATE TABLE late ()").unwrap();
    let path = directory.path().join("meta/_journal.json");
    let text = fs::read_to_string(&path).unwrap();
    let late = r#", {"idx": 4, "version": "7", "when": 1795212000000, "tag": "0004_late", "breakpoints": true}]}"#;
    fs::write(&path, text.replace("]}", late)).unwrap();

    let before = database.dump();
    migrate(&database, directory.path())
        .says("migration 0000_init was edited after it was applied;")
        .says("migration 0004_late is skipped, as Drizzle skips it")
        .says("0001_nobody.sql is not a migration")
        .says("none pending");
    native(&database, directory.path());
    assert_eq!(database.dump(), before);

    // An older image.
    migrate(&database, first(3).path())
        .says("the database is ahead of this image")
        .says("1795212163160");
}

#[test]
fn times_out_of_order_are_applied_in_journal_order_all_or_nothing() {
    let entries = [
        (10, "0000_a", "CREATE TABLE a (x int)"),
        (40, "0001_b", "CREATE TABLE b (x int)"),
        (30, "0002_c", "ALTER TABLE b ADD c int"),
        (30, "0003_d", "ALTER TABLE b ADD d int"),
        (50, "0004_e", "CREATE TABLE e (x int)"),
    ];
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let directory = journal(&entries);
    // Had 0001_b been recorded alone, Drizzle's rule would skip 0002_c from then on.
    let mut bad = entries;
    bad[3].2 = "ALTER TABLE b ADD d intt";
    run(&ours, journal(&bad).path())
        .code(76)
        .says("0003_d.sql:1:21")
        .says("1 of 5 migrations were applied before it: 0000_a");
    assert_eq!(rows(&ours).lines().count(), 1);
    // The sequence does not turn back with a transaction.
    ours.psql("SELECT setval('drizzle.__drizzle_migrations_id_seq', 1)");

    migrate(&ours, directory.path()).says("migrations 4 applied");
    native(&theirs, directory.path());
    assert_eq!(ours.dump(), theirs.dump());
    migrate(&ours, directory.path()).says("none pending (5 applied before)");
}

#[test]
fn invalid_directories_are_errors_before_the_database_is_asked() {
    let fails = |directory: &TempDir, text: &str| {
        premain(["--migrations"])
            .with(directory.path())
            .words(["migrate"])
            .database("postgres://x@127.0.0.1:1/x")
            .run()
            .code(65)
            .says(text);
    };
    let directory = journal(&[(1, "0000_a", "")]);
    fs::remove_file(directory.path().join("0000_a.sql")).unwrap();
    fails(&directory, "it names 0000_a, and there is no file 0000_a.sql");
    let path = directory.path().join("meta/_journal.json");
    fs::write(&path, r#"{"dialect": "mysql", "entries": []}"#).unwrap();
    fails(&directory, "for mysql, not for postgresql");
    fs::write(&path, "{\"entries\": [\n{}]}").unwrap();
    fails(&directory, "line 2");
}

#[test]
fn a_row_that_makes_drizzle_apply_everything_again_is_an_error() {
    let database = Server::shared().database();
    migrate(&database, &all());
    database.psql("UPDATE drizzle.__drizzle_migrations SET created_at = NULL WHERE id = 2");
    run(&database, &all()).code(65).says("the row with id 2 has no created_at");
}

#[test]
fn ten_replicas_apply_each_migration_once() {
    let database = Server::shared().database();
    let running: Vec<_> = (0..10)
        .map(|_| {
            premain(["--migrations"]).with(all()).words(["true"]).database(database.url()).start()
        })
        .collect();
    for running in running {
        running.end().code(0);
    }
    assert_eq!(rows(&database).lines().count(), 4);
    assert_eq!(database.psql("SELECT count(*) FROM users"), "2");
}

#[test]
fn migrations_that_drizzle_would_skip_are_applied_together_or_not_at_all() {
    let (first, second) = ("CREATE TABLE a (i int)", "CREATE INDEX CONCURRENTLY j ON a (i)");
    for alone in [second, "COMMIT; CREATE INDEX CONCURRENTLY j ON a (i)"] {
        let database = Server::shared().database();
        let place = journal(&[(1, "0_z", ""), (30, "1_a", first), (20, "2_b", alone)]);
        for command in ["migrate", "plan"] {
            premain([command, "--migrations"])
                .with(place.path())
                .database(database.url())
                .run()
                .code(65)
                .says("2_b.sql: it cannot run in one transaction with the others of 1_a, 2_b")
                .says("no migration was run");
        }
        assert!(!database.has_table("a"));
        let place = journal(&[(1, "0_z", ""), (30, "1_a", first), (31, "2_b", alone)]);
        migrate(&database, place.path()).says("migrations 3 applied");
    }
    // One transaction: after a failure both are pending, and are applied once they are corrected.
    let database = Server::shared().database();
    let broken = journal(&[(1, "0_z", ""), (30, "1_a", first), (20, "2_b", "TABLE nothing")]);
    run(&database, broken.path()).code(76).says("1 of 3 migrations were applied before it: 0_z");
    let place = journal(&[(1, "0_z", ""), (30, "1_a", first), (20, "2_b", "CREATE TABLE b ()")]);
    migrate(&database, place.path()).says("migrations 2 applied");
    assert!(database.has_table("a") && database.has_table("b"));
}
