//! `premain baseline`: a database that another tool managed is rejected until its baseline is recorded.

use std::path::Path;

use crate::support::layout::{FORMATS, migrations};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate, premain};
use crate::support::{directory, node};

const FILES: [(&str, &str); 3] = [
    ("001_a.sql", "CREATE TABLE a ()"),
    ("002_b.sql", "CREATE TABLE b ()"),
    ("003_c.sql", "CREATE TABLE c ()"),
];

fn baseline(database: &Database<'_>, directory: &Path, until: &[&str]) -> Ended {
    premain(["baseline"])
        .words(until)
        .with("--migrations")
        .with(directory)
        .database(database.url())
        .run()
}

#[test]
fn unmanaged_tables_are_rejected_until_a_baseline() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql("CREATE TABLE a (); CREATE TABLE b ()");
    let before = database.dump();
    premain(["--migrations"])
        .with(place.path())
        .words(["echo", "started"])
        .database(database.url())
        .run()
        .code(65)
        .says("the database has 2 tables and no history table premain_migrations")
        .says("'premain baseline VERSION'");
    assert_eq!(database.dump(), before);

    baseline(&database, place.path(), &["2"])
        .code(0)
        .says("migration 001_a recorded as applied, without running it")
        .says("migrations: 2 of 3 recorded");
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 1 applied");
    assert!(database.has_table("c"));
    baseline(&database, place.path(), &[]).code(0).says("migrations: 0 of 3 recorded");
    baseline(&database, place.path(), &["nine"]).code(64).says("is called 'nine'");
}

#[test]
fn baseline_none_leaves_all_migrations_pending() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql("CREATE TABLE other ()");
    baseline(&database, place.path(), &["none"]).code(0).says("0 of 3 recorded");
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 3 applied");
}

#[test]
fn tables_of_extensions_and_other_schemas_do_not_count() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql(
        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.t (); CREATE VIEW v AS SELECT 1; \
         CREATE TABLE member (); CREATE EXTENSION hstore; ALTER EXTENSION hstore ADD TABLE member",
    );
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 3 applied");
}

#[test]
fn the_previous_tool_is_named() {
    let place = directory(&FILES);
    for (sql, text) in [
        (
            "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('ae1027a6acf')",
            "until now Alembic managed it (public.alembic_version, revision ae1027a6acf)",
        ),
        (
            "CREATE TABLE schema_migrations (); CREATE TABLE ar_internal_metadata ()",
            "until now Rails managed it (public.schema_migrations)",
        ),
        (
            "CREATE TABLE schema_migrations (version varchar)",
            "dbmate managed it (public.schema_migrations), whose history premain continues with --format dbmate --history-table 'public.schema_migrations'",
        ),
        (
            "CREATE TABLE schema_migrations (version bigint, dirty bool)",
            "golang-migrate managed it (public.schema_migrations), whose history premain continues with --format golang-migrate",
        ),
        ("CREATE TABLE \"SequelizeMeta\" ()", "(public.\"SequelizeMeta\")"),
        (
            "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (); CREATE TABLE t ()",
            "until now Drizzle managed it (drizzle.__drizzle_migrations), whose history premain continues",
        ),
    ] {
        let database = Server::shared().database();
        database.psql(sql);
        migrate(place.path()).database(database.url()).run().code(65).says(text);
        assert!(!database.has_table("premain_migrations"));
    }
}

#[test]
fn an_alembic_database_can_be_continued_with_prisma() {
    let database = Server::shared().database();
    database.psql(
        "CREATE TABLE threads (id int); CREATE TABLE alembic_version (version_num text); \
         INSERT INTO alembic_version VALUES ('9f1c2d3e4b5a')",
    );
    let place = directory(&[
        ("migration_lock.toml", "provider = \"postgresql\"\n"),
        ("0_init/migration.sql", "CREATE TABLE threads (id int);\n"),
        ("20260101000000_messages/migration.sql", "CREATE TABLE messages (id int);\n"),
    ]);
    migrate(place.path()).database(database.url()).run().code(65).says("revision 9f1c2d3e4b5a");
    baseline(&database, place.path(), &["0_init"]).code(0).says("1 of 2 recorded");
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 1 applied");
    assert!(node::prisma("apply", &database, place.path(), "").unwrap().contains(":[]"));
    // Alembic's own table is untouched.
    assert_eq!(database.psql("SELECT version_num FROM alembic_version"), "9f1c2d3e4b5a");
}

#[test]
fn a_baseline_is_recorded_as_the_native_tool_records_it() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let place = directory(&[("0_init/migration.sql", "CREATE TABLE t (id int);\n")]);
    baseline(&ours, place.path(), &[]).code(0);
    node::prisma("applied", &theirs, place.path(), "0_init").unwrap();
    let row = "SELECT checksum, finished_at = started_at, migration_name, logs, rolled_back_at, applied_steps_count FROM _prisma_migrations";
    assert_eq!(ours.psql(row), theirs.psql(row));

    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (package, fixture) in [("drizzle-orm", "drizzle"), ("drizzle-orm-1", "drizzle1")] {
        let database = Server::shared().database();
        let directory = fixtures.join(fixture).join("migrations");
        baseline(&database, &directory, &[]).code(0);
        let before = database.dump();
        node::drizzle(package, &database, &directory, None).unwrap();
        assert_eq!(database.dump(), before, "{package} found something to do");
    }
    let database = Server::shared().database();
    let directory = fixtures.join("refinery/migrations");
    baseline(&database, &directory, &[]).code(0);
    migrate(&directory)
        .database(database.url())
        .run()
        .code(0)
        .says("none pending (5 applied before)");
}

#[test]
fn a_failing_baseline_records_nothing() {
    let database = Server::shared().database();
    database.psql("CREATE TABLE t ()");
    let place = directory(&[
        ("20240101000000_a/migration.sql", ""),
        ("20240101000000_a/snapshot.json", ""),
        ("b/migration.sql", ""),
    ]);
    baseline(&database, place.path(), &[]).code(65).says("begins with none");
    assert!(!database.has_table("drizzle.__drizzle_migrations"));
    migrate(place.path()).database(database.url()).run().code(65).says("has 1 table");
}

#[test]
fn concurrent_replicas_do_not_reject_each_others_tables() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let running: Vec<_> =
        (0..10).map(|_| migrate(place.path()).database(database.url()).start()).collect();
    for running in running {
        running.end().code(0);
    }
    assert_eq!(database.psql("SELECT count(*) FROM premain_migrations"), "3");
}

#[test]
fn the_history_of_another_schema_is_not_continued() {
    // Drizzle's table is always in the schema drizzle.
    for format in FORMATS.into_iter().filter(|format| !format.starts_with("drizzle")) {
        let place = migrations(format, 1, |n| format!("CREATE TABLE t{n} ()"));
        let database = Server::shared().database();
        let run = |path: &str, words: &[&str]| {
            let url = format!("{}?options=-csearch_path%3D{path}", database.url());
            let words = [words, &["--format", format, "--migrations"]].concat();
            premain(words).with(place.path()).database(url).run()
        };
        run("missing,public", &["migrate"]).code(0);
        run("missing,public", &["migrate"]).code(0).says("none pending");
        database.psql("CREATE SCHEMA tenant");
        let before = database.dump();
        for command in ["migrate", "status", "plan", "baseline"] {
            let ended = run("tenant,public", &[command]).code(65);
            ended.says("was found, but this session creates tables in the schema tenant");
            assert_eq!(database.dump(), before, "{format} {command}");
        }
        let table = run("public", &["status", "--output", "json"]).code(0).output;
        let table: serde_json::Value = serde_json::from_str(&table).unwrap();
        let table = table["ledger"].as_str().unwrap();
        run("tenant,public", &["migrate", "--history-table", table]).code(0).says("none pending");
        let own = table.replace("public.", "tenant.");
        run("tenant,public", &["baseline", "none", "--history-table", &own]).code(0);
        run("tenant,public", &["migrate"]).code(0).says("migrations 1 applied");
        assert!(database.has_table("tenant.t1"), "{format}");
    }
}

#[test]
fn the_history_of_another_role_is_not_continued_in_a_schema_of_the_own_role() {
    let place = directory(&[("001_t.sql", "CREATE TABLE t ()")]);
    let database = Server::shared().database();
    migrate(place.path()).database(database.url()).run().code(0);
    let role = format!("tenant_{}", database.name);
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN; CREATE SCHEMA AUTHORIZATION {role}; GRANT SELECT ON premain_migrations TO {role}"
    ));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    migrate(place.path()).database(url).run().code(65).says(&format!(
        "public.premain_migrations was found, but this session creates tables in the schema {role}"
    ));
}
