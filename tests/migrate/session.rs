//! Each script has the session as the login made it: nothing runs before it in its transaction, and what it leaves behind
//! reaches neither its record nor the next script.

use std::path::Path;

use crate::support::layout::{FORMATS, migrations};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate, premain};
use crate::support::{directory, output, program};

fn run(database: &Database<'_>, format: &str, place: &Path) -> Ended {
    migrate(place).words(["--format", format]).database(database.url()).run()
}

/// `premain plan`, run by psql.
fn run_plan(database: &Database<'_>, format: &str, place: &Path) {
    let plan = premain(["plan", "--format", format, "--migrations"]).with(place);
    let plan = plan.database(database.url()).run().code(0);
    let file = directory(&[("plan.sql", &plan.output)]);
    let mut psql = std::process::Command::new(program("psql", "postgresql-client"));
    psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file.path().join("plan.sql"));
    let output = output(psql.arg(database.url()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", plan.output);
}

#[test]
fn the_first_statement_of_a_file_is_the_first_of_its_transaction() {
    let keep =
        |n| format!("CREATE TABLE level{n} AS SELECT current_setting('transaction_isolation')");
    let script = |n: usize| match n {
        1 => format!("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; {}", keep(1)),
        2 => format!("-- first\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n{};\n", keep(2)),
        3 => format!(
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE;\n{};\nCOMMIT;\n",
            keep(3)
        ),
        _ => keep(4),
    };
    let levels = "SELECT * FROM level1 UNION ALL SELECT * FROM level2 UNION ALL SELECT * FROM level3 \
                  UNION ALL SELECT * FROM level4";
    for format in FORMATS {
        let place = migrations(format, 4, script);
        let (ours, planned) = (Server::shared().database(), Server::shared().database());
        run(&ours, format, place.path()).code(0).says("migrations 4 applied");
        run_plan(&planned, format, place.path());
        for database in [&ours, &planned] {
            let expected = "serializable\nrepeatable read\nserializable\nread committed";
            assert_eq!(database.psql(levels), expected, "{format}");
        }
        run(&planned, format, place.path()).code(0).says("none pending (4 applied");
    }
}

/// A role that may log in and become `owner_…`, neither of them a superuser.
fn roles(database: &Database<'_>) -> (String, String) {
    let (app, owner) = (format!("app_{}", database.name), format!("owner_{}", database.name));
    database.psql(&format!(
        "CREATE ROLE {app} LOGIN; CREATE ROLE {owner}; GRANT {owner} TO {app}; \
         GRANT CREATE ON DATABASE {} TO {app}, {owner}; GRANT ALL ON SCHEMA public TO {app}, {owner}",
        database.name
    ));
    (database.url().replace("postgres://postgres@", &format!("postgres://{app}@")), owner)
}

#[test]
fn the_record_is_written_as_the_role_that_logged_in() {
    for format in FORMATS {
        let database = Server::shared().database();
        let (url, owner) = roles(&database);
        let place = migrations(format, 4, |n| match n {
            1 => format!("SET ROLE {owner}; SET search_path = nowhere; CREATE TABLE public.t1 ()"),
            2 => "CREATE TABLE t2 ()".to_owned(),
            3 => format!("SET LOCAL ROLE {owner}; CREATE TABLE t3 (a int)"),
            _ => format!(
                "SET ROLE {owner};\nSET search_path = nowhere;\n\
                 CREATE INDEX CONCURRENTLY i ON public.t3 (a);\nANALYZE public.t3"
            ),
        });
        let migrate =
            || migrate(place.path()).words(["--format", format]).env("DATABASE_URL", &url);
        migrate().run().code(0).says("migrations 4 applied");
        migrate().run().code(0).says("none pending (4 applied");
        let owners = "SELECT string_agg(split_part(tableowner, '_', 1), ' ' ORDER BY tablename) FROM pg_tables \
                      WHERE tablename IN ('t1', 't2', 't3')";
        assert_eq!(database.psql(owners), "owner app owner", "{format}");
    }
}

#[test]
fn a_rollback_is_recorded_as_the_role_that_logged_in() {
    let database = Server::shared().database();
    let (url, owner) = roles(&database);
    let place = directory(&[
        ("1_a.sql", "CREATE TABLE a (x int)"),
        ("1_a.down.sql", &format!("SET ROLE {owner}; SET search_path = nowhere; SELECT 1")),
        ("2_b.sql", "CREATE INDEX CONCURRENTLY i ON a (x)"),
        (
            "2_b.down.sql",
            &format!(
                "DROP INDEX CONCURRENTLY i;\nSET ROLE {owner};\nSET search_path = nowhere;\nANALYZE pg_class"
            ),
        ),
    ]);
    migrate(place.path()).env("DATABASE_URL", &url).run().code(0);
    let rollback = premain(["rollback", "--to", "none", "--yes", "--migrations"]);
    rollback.with(place.path()).env("DATABASE_URL", &url).run().code(0);
    assert_eq!(database.psql("SELECT count(*) FROM premain_migrations"), "0");
}

/// What a script can leave behind in its session.
const LEFT_BEHIND: [&str; 19] = [
    "SET search_path = elsewhere",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SET ROLE pg_monitor",
    "SET SESSION AUTHORIZATION pg_monitor",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
    "SET default_transaction_read_only = on",
    "SET default_transaction_deferrable = on; SET default_transaction_isolation = 'repeatable read'",
    "SET statement_timeout = 1; SET lock_timeout = 1; SET idle_in_transaction_session_timeout = 1",
    "SET client_encoding = 'LATIN1'; SET DateStyle = 'German'; SET TIME ZONE 'Asia/Tokyo'",
    "SET standard_conforming_strings = off; SET backslash_quote = on",
    "SET row_security = off; SET check_function_bodies = off; SET default_tablespace = 'pg_default'",
    "SET my.tenant = 'acme'",
    "CREATE TEMPORARY TABLE passing AS SELECT 1",
    "CREATE TEMPORARY SEQUENCE counting; SELECT nextval('counting')",
    "PREPARE later AS SELECT 1",
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    "LISTEN somewhere",
    "SET session_replication_role = replica",
    "RESET ALL",
];

/// Keeps what a session is like.
fn keep_state(n: usize) -> String {
    format!(
        "CREATE TABLE public.state{n} AS SELECT pg_catalog.jsonb_build_object( \
           'settings', (SELECT pg_catalog.jsonb_object_agg(name, setting) FROM pg_catalog.pg_settings), \
           'role', current_user, 'login', session_user, \
           'tenant', coalesce(pg_catalog.current_setting('my.tenant', true), ''), \
           'prepared', (SELECT count(*) FROM pg_catalog.pg_prepared_statements), \
           'cursors', (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable), \
           'channels', (SELECT count(*) FROM pg_catalog.pg_listening_channels()), \
           'temporary', (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()) \
         ) AS state"
    )
}

#[test]
fn what_a_script_leaves_behind_never_reaches_the_next() {
    for first_line in ["", "-- premain: no-transaction\n"] {
        let count = 2 * LEFT_BEHIND.len() + 1;
        let script = |n: usize| match n % 2 {
            0 => format!("{first_line}{}", LEFT_BEHIND[n / 2 - 1]),
            _ => keep_state(n / 2),
        };
        // All in one start, and each in a start of its own.
        let (one, many) = (Server::shared().database(), Server::shared().database());
        let all = migrations("sql", count, script);
        run(&one, "sql", all.path()).code(0).says(&format!("migrations {count} applied"));
        for n in (1..=count).step_by(2) {
            run(&many, "sql", migrations("sql", n, script).path()).code(0);
        }
        let state =
            |database: &Database<'_>, n| database.psql(&format!("SELECT state FROM state{n}"));
        let fresh = state(&one, 0);
        for (n, left) in (1..).zip(LEFT_BEHIND) {
            assert_eq!(state(&one, n), fresh, "{first_line}{left}");
            assert_eq!(state(&many, n), fresh, "{first_line}{left}, each in its own start");
        }
    }
}

#[test]
fn deferred_constraints_are_checked_with_the_settings_of_their_script() {
    let database = Server::shared().database();
    // The COMMIT of the second one is premain's as well.
    let second = "VACUUM;\nSET search_path = app;\nBEGIN;\nINSERT INTO t VALUES (8)";
    let place = directory(&[
        ("2_b.sql", second),
        (
            "1_a.sql",
            "CREATE SCHEMA app; SET search_path = app; CREATE TABLE log (x int); CREATE TABLE t (x int);\n\
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN INSERT INTO log VALUES (NEW.x); RETURN NULL; END $$;\n\
         CREATE CONSTRAINT TRIGGER note AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION note();\n\
         INSERT INTO t VALUES (7)",
        ),
    ]);
    run(&database, "sql", place.path()).code(0);
    assert_eq!(database.psql("SELECT x FROM app.log"), "7\n8");
}

#[test]
fn a_retried_script_finds_nothing_of_its_first_attempt() {
    let database = Server::shared().database();
    let busy = database.open("CREATE TABLE busy (); BEGIN; LOCK TABLE busy;");
    let place = directory(&[(
        "1_a.sql",
        "CREATE TEMPORARY TABLE passing (); PREPARE p AS SELECT 1; ALTER TABLE busy ADD COLUMN x int",
    )]);
    database.psql("CREATE TABLE premain_migrations (version bigint PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, \
                   applied_at timestamptz NOT NULL DEFAULT now(), duration interval NOT NULL, applied_by text NOT NULL, \
                   success boolean NOT NULL DEFAULT true)");
    let mut running = migrate(place.path())
        .words(["--ddl-lock-timeout", "200ms", "--ddl-retries", "100"])
        .database(database.url())
        .start();
    running.wait_for("retrying in");
    drop(busy);
    running.end().code(0).says("migration 1_a applied");
}

#[test]
fn what_a_tool_would_carry_over_is_a_warning() {
    let scripts = [
        "CREATE TABLE t1 (); SET search_path = public",
        "SET LOCAL search_path = public; SET ROLE pg_monitor; RESET ROLE; SET work_mem = '9MB'",
        "SELECT pg_catalog.set_config('search_path', '', false)",
    ];
    for (format, count) in [("goose", 2), ("golang-migrate", 2), ("sql", 0), ("prisma", 0)] {
        let database = Server::shared().database();
        let place = migrations(format, 3, |n| scripts[n - 1].to_owned());
        let ended = run(&database, format, place.path()).code(0);
        assert_eq!(
            ended.lines_with("search path over to the next migration"),
            count,
            "{}",
            ended.log
        );
        let validate = premain(["validate", "--format", format, "--migrations"]).with(place.path());
        let ended = validate.run().code(0);
        assert_eq!(ended.output.matches("carries this search path over").count(), count);
    }
}

#[test]
fn a_migration_that_stops_halfway_is_marked_as_the_role_that_logged_in() {
    for format in FORMATS {
        let database = Server::shared().database();
        let (url, owner) = roles(&database);
        let place = migrations(format, 2, |n| match n {
            1 => "CREATE TABLE t (a int)".to_owned(),
            _ => format!(
                "CREATE INDEX CONCURRENTLY i ON t (a);\nSET ROLE {owner};\nSET search_path = nowhere;\nSELECT nosuch"
            ),
        });
        let migrate =
            || migrate(place.path()).words(["--format", format]).env("DATABASE_URL", &url);
        migrate().run().code(65).says("\"nosuch\" does not exist");
        // The mark has the reason, which was added after the failure.
        migrate().run().code(65).says("nosuch");
    }
}
