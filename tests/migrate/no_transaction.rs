//! Migrations that cannot run in a transaction: applied statement by statement, and recorded when they
//! stop halfway.

use nix::sys::signal::Signal;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, migrate, premain};
use crate::support::{directory, node, wait_for};

/// `premain migrate` with these two settings of how DDL waits.
fn impatient(place: &tempfile::TempDir, timeout: &str, database: &Database<'_>) -> Premain {
    premain(["--ddl-lock-timeout", timeout, "--ddl-retries", "50", "--migrations"])
        .with(place.path())
        .words(["migrate"])
        .database(database.url())
}

/// Waits until premain's session waits for a lock, in a statement that holds this.
fn waits_in(database: &Database<'_>, text: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE '%{text}%' AND pid <> pg_backend_pid()"
    );
    wait_for("premain's statement waits", || (database.psql(&waiting) == "1").then_some(()));
}

fn is_valid(database: &Database<'_>, index: &str) -> bool {
    let valid =
        format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')");
    database.psql(&valid) == "t"
}

const TABLE: (&str, &str) =
    ("V1__t.sql", "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y');");
const INDEX: (&str, &str) = ("V2__index.sql", "CREATE INDEX CONCURRENTLY i ON t (lower(b), a);");

#[test]
fn no_transaction_statements_run_one_by_one() {
    let database = Server::shared().database();
    let place = directory(&[
        TABLE,
        (
            "V2__indexes.sql",
            "-- größer\r\nCREATE INDEX CONCURRENTLY one ON t (a);\r\nCREATE UNIQUE INDEX CONCURRENTLY \"Two\" ON t (b);\r\nVACUUM (ANALYZE) t;",
        ),
        (
            "V3__procedure.sql",
            "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (3); COMMIT; END $$;",
        ),
        ("V4__call.sql", "-- premain: no-transaction\r\nCALL p();"),
        ("V5__reindex.sql", "REINDEX TABLE CONCURRENTLY t; DROP INDEX CONCURRENTLY one"),
    ]);
    migrate(place.path()).database(database.url()).run().code(0).says("migrations 5 applied");
    assert!(is_valid(&database, "\"Two\"") && !database.has_table("one"));
    assert_eq!(database.psql("SELECT count(*) FROM t"), "3");
    migrate(place.path()).database(database.url()).run().code(0).says("none pending");
}

#[test]
fn the_server_agrees_which_statements_take_no_transaction() {
    let database = Server::shared().database();
    database.psql(
        "CREATE TABLE t (a int); CREATE TABLE p (a int) PARTITION BY LIST (a); \
         CREATE TABLE q PARTITION OF p FOR VALUES IN (1)",
    );
    // As in the tests of src/migrate/statements.rs.
    for sql in [
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "create unique index /* , */ concurrently if not exists i on t (a)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY t",
        "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
        "REINDEX SCHEMA public",
        "ALTER TABLE p DETACH PARTITION q CONCURRENTLY",
        "VACUUM",
        "VACUUM (ANALYZE) t",
        "CLUSTER",
        "CLUSTER VERBOSE",
        "ALTER SYSTEM SET work_mem = '8MB'",
        "CREATE DATABASE d",
        "DROP DATABASE IF EXISTS d",
        "CREATE TABLESPACE s LOCATION '/s'",
        "DROP TABLESPACE s",
        "ALTER DATABASE postgres SET TABLESPACE pg_default",
        "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
        "DISCARD ALL",
        "ROLLBACK PREPARED 'x'",
    ] {
        let mut both = format!("BEGIN; {sql}; COMMIT");
        both.insert_str(0, "SET client_min_messages = error; ");
        let error = Server::shared().try_psql(&database.name, &both).unwrap_err();
        let refused = ["transaction block", "within a pipeline", "prepared transaction"];
        assert!(refused.iter().any(|text| error.contains(text)), "{sql}: {error}");
    }
    for sql in ["REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REINDEX (CONCURRENTLY off) TABLE t"] {
        database.psql(
            "DROP MATERIALIZED VIEW IF EXISTS v; CREATE MATERIALIZED VIEW v AS SELECT 1 AS a; \
             CREATE UNIQUE INDEX ON v (a)",
        );
        database.psql(&format!("BEGIN; {sql}; COMMIT"));
    }
}

#[test]
fn statements_kept_by_a_failed_script_are_listed_and_recorded() {
    let database = Server::shared().database();
    let sql = "VACUUM t;\nBEGIN;\nINSERT INTO t VALUES (3);\nCOMMIT;\n\nBEGIN;\nINSERT INTO t VALUES (4);\n  INSERT INTO nope VALUES (5);\nCOMMIT;";
    let place =
        directory(&[("1_t.sql", TABLE.1), ("2_half.sql", sql), ("3_never.sql", "SELECT 1")]);
    let run = || migrate(place.path()).database(database.url()).run();
    run()
        .code(65)
        .says("2_half.sql:8:15: relation \"nope\" does not exist (42P01 undefined_table)")
        .says("migration 2_half runs without a transaction: 4 of its 8 statements were kept")
        .says("kept: statement 1 (line 1): VACUUM t")
        .says("kept: statement 4 (line 4): COMMIT")
        .says("premain resolve --rolled-back 2")
        .says("1 of 3 migrations were applied before it: 1_t");
    assert_eq!(database.psql("SELECT count(*) FROM t WHERE a > 2"), "1");
    assert_eq!(
        database.psql("SELECT version, success FROM premain_migrations ORDER BY 1"),
        "1|t\n2|f"
    );
    run().code(65).says("migration 2_half failed halfway");
    database.psql("DELETE FROM premain_migrations WHERE version = 2; CREATE TABLE nope (a int)");
    run().code(0).says("migrations 2 applied");
    assert_eq!(
        database.psql("SELECT version, success FROM premain_migrations WHERE version = 2"),
        "2|t"
    );
    assert_eq!(
        database.psql("SELECT duration > '0' FROM premain_migrations WHERE version = 2"),
        "t"
    );
}

#[test]
fn a_failure_that_kept_nothing_leaves_no_failed_row() {
    let database = Server::shared().database();
    let place = directory(&[("1_t.sql", TABLE.1), ("2_x.sql", "VACUUM nope; VACUUM t;")]);
    migrate(place.path())
        .database(database.url())
        .run()
        .code(76)
        .says("2_x.sql:1:8: relation \"nope\" does not exist")
        .says("nothing of migration 2_x was kept");
    assert_eq!(database.psql("SELECT version FROM premain_migrations"), "1");
}

#[test]
fn a_failed_unique_index_leaves_nothing_behind() {
    let database = Server::shared().database();
    let place =
        directory(&[TABLE, ("V2__i.sql", "CREATE UNIQUE INDEX CONCURRENTLY i ON t ((1));")]);
    let run = || migrate(place.path()).database(database.url()).run();
    run()
        .code(76)
        .says("V2__i.sql:1:1: could not create unique index \"i\" (23505 unique_violation)")
        .says("is duplicated")
        .says("left the invalid index public.i behind; it is dropped");
    assert!(!database.has_table("i"));
    database.psql("DELETE FROM t WHERE a = 1");
    run().code(0);
    assert!(is_valid(&database, "i"));
}

#[test]
fn only_an_invalid_index_is_dropped_before_the_retry() {
    let server = Server::shared();
    for sql in [
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a); VACUUM t;",
    ] {
        let database = server.database();
        let place = directory(&[TABLE, ("V2__i.sql", sql)]);
        let only = directory(&[TABLE]);
        migrate(only.path()).database(database.url()).run().code(0);
        database.psql("INSERT INTO t VALUES (1)");
        let index = "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)";
        server.try_psql(&database.name, index).unwrap_err();
        database.psql("DELETE FROM t WHERE b IS NULL");
        migrate(place.path())
            .database(database.url())
            .run()
            .code(0)
            .says("an earlier run left the invalid index public.i behind; it is dropped");
        assert!(is_valid(&database, "i"));
    }
    // Another index of that name is none of ours.
    let database = server.database();
    let only = directory(&[TABLE]);
    migrate(only.path()).database(database.url()).run().code(0);
    database.psql("CREATE INDEX i ON t (b)");
    let place = directory(&[TABLE, INDEX]);
    migrate(place.path()).database(database.url()).run().code(76).says("(42P07 duplicate_table)");
    assert!(is_valid(&database, "i"));
}

#[test]
fn an_index_build_that_was_killed_is_repaired() {
    let database = Server::shared().database();
    let only = directory(&[TABLE]);
    migrate(only.path()).database(database.url()).run().code(0);
    let place = directory(&[TABLE, INDEX]);
    let mut blocker = database.open("BEGIN; INSERT INTO t VALUES (5, 'z');");
    let killed = migrate(place.path()).database(database.url()).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    killed.signal(Signal::SIGKILL);
    killed.end().code(137);
    // The server has not noticed, and finishes the index; or it has, and leaves it invalid.
    let next = migrate(place.path()).database(database.url()).start();
    blocker.send("COMMIT;");
    next.end().code(0);
    assert!(is_valid(&database, "i"));
    assert_eq!(database.psql("SELECT count(*) FROM refinery_schema_history"), "2");
}

#[test]
fn a_finished_index_without_a_record_is_recorded() {
    let database = Server::shared().database();
    let only = directory(&[TABLE]);
    migrate(only.path()).database(database.url()).run().code(0);
    database.psql(INDEX.1);
    let before = database.psql("SELECT 'i'::regclass::oid");
    let place = directory(&[TABLE, INDEX]);
    migrate(place.path()).database(database.url()).run().code(0).says(
        "its index exists and is valid; an earlier run was interrupted before it was recorded",
    );
    assert_eq!(database.psql("SELECT 'i'::regclass::oid"), before);
}

#[test]
fn an_index_build_that_was_stopped_by_a_signal_is_repaired() {
    let database = Server::shared().database();
    let only = directory(&[TABLE]);
    migrate(only.path()).database(database.url()).run().code(0);
    let place = directory(&[TABLE, INDEX]);
    let blocker = database.open("BEGIN; INSERT INTO t VALUES (5, 'z');");
    let stopped = migrate(place.path()).database(database.url()).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    stopped.signal(Signal::SIGTERM);
    stopped.end().code(143).says("stopped by SIGTERM while migrating");
    assert!(!is_valid(&database, "i"));
    drop(blocker);
    migrate(place.path()).database(database.url()).run().code(0);
    assert!(is_valid(&database, "i"));
}

#[test]
fn statements_kept_before_a_signal_are_listed() {
    let database = Server::shared().database();
    let only = directory(&[("1_t.sql", TABLE.1)]);
    migrate(only.path()).database(database.url()).run().code(0);
    let place = directory(&[
        ("1_t.sql", TABLE.1),
        ("2_i.sql", "VACUUM t;\nCREATE INDEX CONCURRENTLY i ON t (a);"),
    ]);
    let _blocker = database.open("BEGIN; INSERT INTO t VALUES (5, 'z');");
    let stopped = migrate(place.path()).database(database.url()).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    stopped.signal(Signal::SIGTERM);
    stopped
        .end()
        .code(143)
        .says("migration 2_i was stopped halfway")
        .says("1 of its 2 statements were kept")
        .says("premain resolve --rolled-back 2");
    migrate(place.path()).database(database.url()).run().code(65).says("failed halfway");
}

#[test]
fn a_transaction_left_open_is_committed_with_the_record() {
    let database = Server::shared().database();
    let sql =
        "VACUUM t; BEGIN; INSERT INTO t VALUES (3); COMMIT AND CHAIN; INSERT INTO t VALUES (4);";
    let place = directory(&[
        TABLE,
        ("V2__x.sql", sql),
        ("V3__y.sql", "VACUUM t;\nBEGIN;\nINSERT INTO t VALUES (5)"),
    ]);
    migrate(place.path()).database(database.url()).run().code(0).says_nothing_of("warns");
    assert_eq!(database.psql("SELECT count(*) FROM t"), "5");
    assert_eq!(database.psql("SELECT count(*) FROM refinery_schema_history"), "3");
}

#[test]
fn statements_kept_before_the_session_ended_are_listed() {
    let database = Server::shared().database();
    let place = directory(&[
        ("1_t.sql", TABLE.1),
        ("2_i.sql", "VACUUM t;\nCREATE INDEX CONCURRENTLY i ON t (a);"),
    ]);
    let only = directory(&[("1_t.sql", TABLE.1)]);
    migrate(only.path()).database(database.url()).run().code(0);
    let _blocker = database.open("BEGIN; INSERT INTO t VALUES (5, 'z');");
    let running = migrate(place.path()).database(database.url()).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    database.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'",
    );
    running
        .end()
        .code(65)
        .says("the connection was lost")
        .says("kept: statement 1 (line 1): VACUUM t");
    migrate(place.path()).database(database.url()).run().code(65).says("failed halfway");
}

#[test]
fn four_replicas_build_one_index() {
    let database = Server::shared().database();
    let place = directory(&[TABLE, INDEX, ("V3__more.sql", "VACUUM t; ALTER TABLE t ADD c int;")]);
    let running: Vec<_> =
        (0..4).map(|_| migrate(place.path()).database(database.url()).start()).collect();
    for running in running {
        running.end().code(0);
    }
    assert!(is_valid(&database, "i"));
    assert_eq!(database.psql("SELECT count(*) FROM refinery_schema_history"), "3");
}

#[test]
fn a_second_replica_waits_until_all_statements_have_run() {
    let database = Server::shared().database();
    let only = directory(&[("1_t.sql", TABLE.1)]);
    migrate(only.path()).database(database.url()).run().code(0);
    let place = directory(&[
        ("1_t.sql", TABLE.1),
        ("2_i.sql", "VACUUM t;\nCREATE INDEX CONCURRENTLY i ON t (a);"),
    ]);
    let mut blocker = database.open("BEGIN; INSERT INTO t VALUES (5, 'z');");
    let first = migrate(place.path()).database(database.url()).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    assert_eq!(database.psql("SELECT success FROM premain_migrations WHERE version = 2"), "f");
    let mut second = migrate(place.path()).database(database.url()).start();
    second.wait_for("waiting for the migration lock");
    blocker.send("COMMIT;");
    first.end().code(0).says("migrations 1 applied");
    second.end().code(0).says("none pending (2 applied before)");
}

#[test]
fn a_deadlock_is_retried() {
    let database = Server::shared().database();
    let only = directory(&[TABLE]);
    migrate(only.path()).database(database.url()).run().code(0);
    // The session that looks for a deadlock gives way: premain, which looks once, and for that the
    // other session must wait for its lock by then.
    database.psql(&format!("ALTER DATABASE {} SET deadlock_timeout = '10s'", database.name));
    let mut other = database.open("SET deadlock_timeout = '1h'; BEGIN; INSERT INTO t VALUES (5);");
    let place = directory(&[TABLE, INDEX]);
    let mut running = migrate(place.path()).database(database.url()).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    // Returns once premain gave way.
    other.send("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE; COMMIT;");
    running.wait_for("deadlock detected");
    running.end().code(0);
    assert!(is_valid(&database, "i"));
}

#[test]
fn concurrent_index_builds_wait_without_a_timeout_and_other_statements_are_retried() {
    let database = Server::shared().database();
    let only = directory(&[TABLE]);
    migrate(only.path()).database(database.url()).run().code(0);
    let place = directory(&[TABLE, INDEX]);
    let mut blocker = database.open("BEGIN; INSERT INTO t VALUES (5, 'z');");
    let running = impatient(&place, "20ms", &database).start();
    waits_in(&database, "CREATE INDEX CONCURRENTLY");
    // Longer than the timeout, by the server's clock.
    database.psql("SELECT pg_sleep(0.2)");
    blocker.send("COMMIT;");
    running.end().code(0).says_nothing_of("could not get its table locks");
    assert!(is_valid(&database, "i"));

    let place = directory(&[TABLE, INDEX, ("V3__full.sql", "VACUUM t; VACUUM FULL t;")]);
    blocker.send("BEGIN; SELECT * FROM t;");
    let mut running = impatient(&place, "20ms", &database).start();
    running.wait_for("could not get its table locks");
    blocker.send("COMMIT;");
    running.end().code(0);
}

#[test]
fn prisma_understands_a_recorded_failure() {
    let database = Server::shared().database();
    let sql = "CREATE INDEX CONCURRENTLY a ON t (a);\nCREATE INDEX CONCURRENTLY b ON t (nope);";
    let place = directory(&[("1_t/migration.sql", TABLE.1), ("2_i/migration.sql", sql)]);
    let run = || {
        premain(["--format", "prisma", "--migrations"])
            .with(place.path())
            .words(["migrate"])
            .database(database.url())
            .run()
    };
    run().code(65).says("kept: statement 1 (line 1): CREATE INDEX CONCURRENTLY a ON t (a)");
    let columns = "finished_at IS NULL, applied_steps_count, logs LIKE '%42703 undefined_column%'";
    let row = format!("SELECT {columns} FROM _prisma_migrations WHERE migration_name = '2_i'");
    assert_eq!(database.psql(&row), "t|0|t");
    let refused = node::prisma("apply", &database, place.path(), "").unwrap_err();
    assert!(refused.contains("2_i") && refused.contains("failed"), "{refused}");
    node::prisma("rolledback", &database, place.path(), "2_i").unwrap();
    database.psql("DROP INDEX a; ALTER TABLE t ADD nope int");
    run().code(0);
    let done = node::prisma("apply", &database, place.path(), "").unwrap();
    assert!(done.contains("\"appliedMigrationNames\":[]"), "{done}");
    let finished = "SELECT finished_at >= started_at, applied_steps_count FROM _prisma_migrations \
                    WHERE migration_name = '2_i' AND rolled_back_at IS NULL";
    assert_eq!(database.psql(finished), "t|1");
}
