//! `premain resolve`: how each tool's history table records it.

use std::path::Path;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate, premain};
use crate::support::{directory, layout, node, tools};

fn resolve(database: &Database<'_>, directory: &Path, how: [&str; 2]) -> Ended {
    premain(["resolve"])
        .words(how)
        .with("--migrations")
        .with(directory)
        .database(database.url())
        .run()
}

const PRISMA: [(&str, &str); 3] = [
    ("migration_lock.toml", "provider = \"postgresql\"\n"),
    ("1_a/migration.sql", "CREATE TABLE a (id int);\n"),
    ("2_b/migration.sql", "CREATE TABLE b (id int); SELECT 1 / 0;\n"),
];

/// What Prisma's own engine leaves behind of a migration that fails.
fn failed_by_prisma(directory: &Path) -> Database<'static> {
    let database = Server::shared().database();
    node::prisma("apply", &database, directory, "").unwrap_err();
    database
}

const ROWS: &str = "SELECT migration_name, checksum, finished_at IS NULL, finished_at = started_at, rolled_back_at IS NULL, \
     left(logs, 9), applied_steps_count FROM _prisma_migrations ORDER BY started_at, finished_at NULLS FIRST";

#[test]
fn failed_prisma_migrations_are_resolved_as_prisma_does() {
    let place = directory(&PRISMA);
    for (ours, theirs) in [("--applied", "applied"), ("--rolled-back", "rolledback")] {
        let (one, other) = (failed_by_prisma(place.path()), failed_by_prisma(place.path()));
        migrate(place.path())
            .database(one.url())
            .run()
            .code(65)
            .says("'premain resolve --applied 2_b'")
            .says("'premain resolve --rolled-back 2_b'");
        resolve(&one, place.path(), [ours, "2_b"]).code(0);
        node::prisma(theirs, &other, place.path(), "2_b").unwrap();
        assert_eq!(one.psql(ROWS), other.psql(ROWS), "{ours}");
    }
}

#[test]
fn prisma_continues_after_premain_resolve() {
    let place = directory(&PRISMA);
    let database = failed_by_prisma(place.path());
    resolve(&database, place.path(), ["--rolled-back", "2_b"]).code(0).says("2_b is pending again");
    std::fs::write(place.path().join("2_b/migration.sql"), "CREATE TABLE b (id int);\n").unwrap();
    let applied = node::prisma("apply", &database, place.path(), "").unwrap();
    assert!(applied.contains("2_b"), "{applied}");
    migrate(place.path()).database(database.url()).run().code(0).says("none pending (2 applied");
}

#[test]
fn cases_that_prisma_rejects_are_rejected() {
    let place = directory(&PRISMA);
    let database = failed_by_prisma(place.path());
    // P3008, P3012, P3011 and P3017.
    for (how, says) in [
        (["--applied", "1_a"], "it is already recorded as applied"),
        (["--rolled-back", "1_a"], "it did not fail, it is applied"),
        (["--rolled-back", "3_c"], "is called '3_c'"),
        (["--applied", "3_c"], "is called '3_c'"),
    ] {
        let before = database.psql(ROWS);
        let theirs = how[0].trim_start_matches("--").replace('-', "");
        node::prisma(&theirs, &database, place.path(), how[1]).unwrap_err();
        resolve(&database, place.path(), how).code(64).says(says);
        assert_eq!(database.psql(ROWS), before);
    }
    // The directory of the failed one is gone.
    std::fs::remove_dir_all(place.path().join("2_b")).unwrap();
    resolve(&database, place.path(), ["--applied", "2_b"]).code(64).says("it has no file");
    resolve(&database, place.path(), ["--rolled-back", "2_b"]).code(0);
    migrate(place.path()).database(database.url()).run().code(0).says("none pending");
}

const SQL: [(&str, &str); 2] =
    [("001_a.sql", "CREATE TABLE a ()"), ("002_b.sql", "CREATE TABLE b ()")];

fn failed_halfway(directory: &Path) -> Database<'static> {
    let database = Server::shared().database();
    migrate(directory).database(database.url()).run().code(0);
    database.psql("UPDATE premain_migrations SET success = false WHERE version = 2");
    migrate(directory)
        .database(database.url())
        .run()
        .code(65)
        .says("migration 002_b failed halfway")
        .says("'premain resolve --applied 2'");
    database
}

#[test]
fn plain_sql_that_failed_halfway_can_be_resolved() {
    let place = directory(&SQL);
    let database = failed_halfway(place.path());
    resolve(&database, place.path(), ["--applied", "2"])
        .code(0)
        .says("migration 002_b recorded as applied");
    migrate(place.path()).database(database.url()).run().code(0).says("none pending (2 applied");

    let database = failed_halfway(place.path());
    database.psql("DROP TABLE b");
    resolve(&database, place.path(), ["--rolled-back", "b"])
        .code(0)
        .says("migration 002_b is pending again");
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 1 applied");
    assert!(database.has_table("b"));
    resolve(&database, place.path(), ["--rolled-back", "2"]).code(64).says("'premain rollback'");
}

#[test]
fn a_migration_run_by_hand_is_recorded_without_running_it() {
    let place = directory(&SQL);
    let database = Server::shared().database();
    database.psql("CREATE TABLE a ()");
    resolve(&database, place.path(), ["--rolled-back", "1"]).code(64).says("not recorded at all");
    assert!(!database.has_table("premain_migrations"));
    resolve(&database, place.path(), ["--applied", "001"])
        .code(0)
        .says("migration 001_a recorded as applied");
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 1 applied");
    premain(["resolve"]).run().code(64).says("--applied VERSION and --rolled-back VERSION");
}

#[test]
fn resolve_waits_for_the_lock() {
    let place = directory(&SQL);
    let database = failed_halfway(place.path());
    let mut other = database.open("SELECT pg_advisory_lock(x'7072656d61696e'::bigint);");
    premain(["resolve", "--applied", "2", "--lock-timeout", "100ms", "--migrations"])
        .with(place.path())
        .database(database.url())
        .run()
        .code(75)
        .says("the migration lock was not free");
    other.send("SELECT pg_advisory_unlock_all();");
    resolve(&database, place.path(), ["--applied", "2"]).code(0);
}

#[test]
fn a_no_transaction_migration_continues_after_resolve() {
    let place = directory(&[
        ("001_a.sql", "CREATE TABLE a (i int)"),
        ("002_b.sql", "CREATE INDEX CONCURRENTLY j ON a (i); TABLE nothing"),
    ]);
    let database = Server::shared().database();
    let failed = migrate(place.path()).database(database.url()).run().code(65);
    failed.says("'premain resolve --rolled-back 2'");
    premain(["status", "--exit-code", "--migrations"])
        .with(place.path())
        .database(database.url())
        .run()
        .code(2);
    database.psql("DROP INDEX j");
    std::fs::write(place.path().join("002_b.sql"), "CREATE INDEX CONCURRENTLY j ON a (i)").unwrap();
    resolve(&database, place.path(), ["--rolled-back", "2"]).code(0);
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 1 applied");
}

/// A second migration of two statements, of which the first is kept.
fn stopped_halfway(format: &str) -> (tempfile::TempDir, Database<'static>) {
    let end = if format == "sqlx" { ".sql" } else { ".up.sql" };
    let (first, second) = (format!("1_a{end}"), format!("2_b{end}"));
    let place = directory(&[
        (first.as_str(), "CREATE TABLE a (i int);"),
        (
            second.as_str(),
            "-- no-transaction\nCREATE INDEX CONCURRENTLY j ON a (i);\nALTER TABLE missing ADD n int;",
        ),
    ]);
    let database = Server::shared().database();
    let run = || migrate(place.path()).words(["--format", format]).database(database.url()).run();
    run()
        .code(65)
        .says("1 of its 2 statements were kept")
        .says("'premain resolve --rolled-back 2'");
    run().code(65).says("migration 2_b failed halfway").says("'premain resolve --applied 2'");
    assert!(!database.psql("SELECT 1 FROM pg_class WHERE relname = 'j'").is_empty());
    (place, database)
}

fn resolve_in(format: &str, database: &Database<'_>, directory: &Path, how: [&str; 2]) -> Ended {
    premain(["resolve"])
        .words(how)
        .words(["--format", format, "--migrations"])
        .with(directory)
        .database(database.url())
        .run()
}

#[test]
fn sqlx_stops_at_premains_mark_and_continues_after_resolve() {
    let failed = "SELECT version, success FROM _sqlx_migrations ORDER BY version";
    let (place, database) = stopped_halfway("sqlx");
    assert_eq!(database.psql(failed), "1|t\n2|f");
    let error = tools::sqlx(&database, place.path(), &["run"]).unwrap_err();
    assert!(error.contains("partially applied"), "{error}");
    resolve_in("sqlx", &database, place.path(), ["--applied", "2"]).code(0);
    assert_eq!(database.psql(failed), "1|t\n2|t");
    tools::sqlx(&database, place.path(), &["run"]).unwrap();

    let (place, database) = stopped_halfway("sqlx");
    database.psql("DROP INDEX j; CREATE TABLE missing ()");
    resolve_in("sqlx", &database, place.path(), ["--rolled-back", "2"]).code(0);
    assert_eq!(database.psql(failed), "1|t");
    migrate(place.path()).words(["--format", "sqlx"]).database(database.url()).run().code(0);
    assert_eq!(
        database.psql("SELECT execution_time > 0 FROM _sqlx_migrations WHERE version = 2"),
        "t"
    );
    tools::sqlx(&database, place.path(), &["run"]).unwrap();
}

#[test]
fn a_dirty_row_of_golang_migrate_becomes_its_version_or_the_one_before() {
    let row = "SELECT version, dirty FROM schema_migrations";
    let (place, database) = stopped_halfway("golang-migrate");
    assert_eq!(database.psql(row), "2|t");
    resolve_in("golang-migrate", &database, place.path(), ["--applied", "2"]).code(0);
    assert_eq!(database.psql(row), "2|f");

    let (place, database) = stopped_halfway("golang-migrate");
    database.psql("DROP INDEX j; CREATE TABLE missing ()");
    resolve_in("golang-migrate", &database, place.path(), ["--rolled-back", "2"]).code(0);
    assert_eq!(database.psql(row), "1|f");
    let words = ["--format", "golang-migrate"];
    migrate(place.path()).words(words).database(database.url()).run().code(0);
    assert_eq!(database.psql(row), "2|f");
}

#[test]
fn a_failure_that_kept_nothing_leaves_the_history_table_as_before() {
    for (format, end, rows, left) in [
        ("sqlx", ".sql", "SELECT version, success FROM _sqlx_migrations", "1|t"),
        ("golang-migrate", ".up.sql", "SELECT version, dirty FROM schema_migrations", "1|f"),
    ] {
        let (first, second) = (format!("1_a{end}"), format!("2_b{end}"));
        let place = directory(&[
            (first.as_str(), "CREATE TABLE a (i int);"),
            (
                second.as_str(),
                "ALTER TABLE missing ADD n int; CREATE INDEX CONCURRENTLY j ON a (i);",
            ),
        ]);
        let database = Server::shared().database();
        migrate(place.path()).words(["--format", format]).database(database.url()).run().code(76);
        assert_eq!(database.psql(rows), left, "{format}");
    }
}

#[test]
fn a_migration_whose_record_would_skip_an_older_one_is_not_recorded_before_it() {
    for (format, second) in
        [("golang-migrate", Some("2")), ("drizzle", Some("0002_t2")), ("sql", None)]
    {
        let place = layout::migrations(format, 3, |n| format!("CREATE TABLE t{n} ()"));
        let database = Server::shared().database();
        let resolve = |version| resolve_in(format, &database, place.path(), ["--applied", version]);
        resolve("1").code(0);
        let before = database.dump();
        if let Some(second) = second {
            resolve("3")
                .code(65)
                .says("before these, which are pending and would then never run: ")
                .says(&format!("begin with 'premain resolve --applied {second}'"));
            assert_eq!(database.dump(), before, "{format}");
            resolve(second).code(0);
        }
        resolve("3").code(0);
        let migrate = migrate(place.path()).words(["--format", format]);
        let ended = migrate.database(database.url()).run().code(0);
        ended.says(if second.is_some() {
            "none pending (3 applied"
        } else {
            "migrations 1 applied"
        });
    }
}
