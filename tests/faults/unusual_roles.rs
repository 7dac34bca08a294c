//! Roles and servers with settings that most do not have: premain works, or says what it cannot do before anything runs.

use crate::support::layout::{FORMATS, migrations, recorded};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{migrate, premain};
use crate::support::{directory, gate, wait_for};

/// The URL of a new role with these settings, which is no superuser.
fn role(database: &Database<'_>, settings: &[&str]) -> String {
    let name = format!("role_{}", database.name);
    let set = |setting: &&str| format!("ALTER ROLE {name} SET {setting};");
    database.psql(&format!(
        "CREATE ROLE {name} LOGIN; GRANT CREATE ON DATABASE {} TO {name}; GRANT ALL ON SCHEMA public TO {name}; {}",
        database.name,
        settings.iter().map(set).collect::<String>()
    ));
    database.url().replace("postgres://postgres@", &format!("postgres://{name}@"))
}

const UNUSUAL: [&str; 18] = [
    "standard_conforming_strings = off",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "client_encoding = 'LATIN1'",
    "statement_timeout = 300",
    "lock_timeout = 300",
    "idle_session_timeout = 300",
    "idle_in_transaction_session_timeout = 300",
    "DateStyle = 'German, DMY'",
    "IntervalStyle = 'iso_8601'",
    "TimeZone = 'Asia/Tokyo'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "quote_all_identifiers = on",
    "row_security = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "client_min_messages = error",
];

#[test]
fn a_role_with_unusual_settings_migrates_as_any_other() {
    for format in FORMATS {
        let database = Server::shared().database();
        let url = role(&database, &UNUSUAL);
        let place = migrations(format, 4, |n| match n {
            1 => "CREATE TABLE t (name text)".to_owned(),
            2 => "SELECT pg_sleep(0.4); INSERT INTO t VALUES ('größe')".to_owned(),
            3 => "CREATE INDEX CONCURRENTLY i ON t (name);\nANALYZE t".to_owned(),
            _ => "INSERT INTO t VALUES (E'it\\'s ' || 'C:\\\\')".to_owned(),
        });
        let migrate = || migrate(place.path()).words(["--format", format]);
        let hook = ["--before-migrate", "sleep 0.4"];
        migrate().words(hook).env("DATABASE_URL", &url).run().code(0).says("migrations 4 applied");
        migrate().database(database.url()).run().code(0).says("none pending (4 applied");
        migrate().env("DATABASE_URL", &url).run().code(0).says("none pending (4 applied");
        assert_eq!(database.psql(recorded(format)), "1\n2\n3\n4", "{format}");
        assert_eq!(database.psql("SELECT name FROM t ORDER BY name"), "größe\nit's C:\\");
    }
}

#[test]
fn names_with_backslashes_are_recorded_whatever_a_backslash_means() {
    let place = directory(&[("1_a\\b'c\\.sql", "CREATE TABLE a ()")]);
    for settings in [&[][..], &UNUSUAL[..1]] {
        let database = Server::shared().database();
        let url = role(&database, settings);
        migrate(place.path()).env("DATABASE_URL", &url).run().code(0);
        assert_eq!(database.psql("SELECT name FROM premain_migrations"), "a\\b'c\\");
        migrate(place.path()).database(database.url()).run().code(0).says("none pending");
    }
}

#[test]
fn a_text_that_ends_elsewhere_for_the_server_stops_before_anything_runs() {
    let files = [("1_a.sql", "CREATE TABLE a ()"), ("2_b.sql", "SELECT E'\\'',\n  'C:\\'")];
    let place = directory(&files);
    let (usual, unusual) = (Server::shared().database(), Server::shared().database());
    migrate(place.path()).database(usual.url()).run().code(0);
    let url = role(&unusual, &UNUSUAL[..1]);
    migrate(place.path())
        .env("DATABASE_URL", &url)
        .run()
        .code(65)
        .says("2_b.sql:2:3: standard_conforming_strings is off")
        .says("no migration was run");
    assert!(!unusual.has_table("a"));
}

#[test]
fn row_level_security_on_the_history_table_is_an_error() {
    for format in FORMATS {
        let database = Server::shared().database();
        let place = migrations(format, 1, |_| "CREATE TABLE a ()".to_owned());
        let migrate = || migrate(place.path()).words(["--format", format]);
        migrate().database(database.url()).run().code(0);
        let url = role(&database, &[]);
        let name = format!("role_{}", database.name);
        database.psql(&format!(
            "DO $$ DECLARE t record; BEGIN FOR t IN SELECT schemaname, tablename FROM pg_tables \
               WHERE tablename ~ 'migrations|history|db_version' AND schemaname !~ '^(pg_|information)' LOOP \
               EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', t.schemaname, t.tablename); \
               EXECUTE format('GRANT USAGE ON SCHEMA %I TO {name}', t.schemaname); \
               EXECUTE format('GRANT ALL ON %I.%I TO {name}', t.schemaname, t.tablename); END LOOP; END $$"
        ));
        let migrate = || migrate().env("DATABASE_URL", &url).run();
        migrate().code(77).says("cannot read the history table").says("give it BYPASSRLS");
        database.psql(&format!("ALTER ROLE {name} BYPASSRLS"));
        migrate().code(0).says("none pending");
    }
}

#[test]
fn a_transaction_timeout_does_not_end_a_migration() {
    let mut server = Server::newest(&[]);
    server.run();
    let database = server.database();
    let url = role(&database, &["transaction_timeout = 300"]);
    let slow = "SELECT pg_sleep(0.6)";
    let place = directory(&[
        ("1_a.sql", &format!("CREATE TABLE a (x int); {slow}")),
        (
            "2_b.sql",
            &format!(
                "CREATE INDEX CONCURRENTLY i ON a (x);\n{slow};\nBEGIN;\n{slow};\n{slow};\nCOMMIT;"
            ),
        ),
        ("3_c.sql", slow),
    ]);
    migrate(place.path()).env("DATABASE_URL", &url).run().code(0).says("migrations 3 applied");
}

#[test]
fn a_serialization_failure_is_retried_as_a_deadlock_is() {
    let database = Server::shared().database();
    let url = role(&database, &["default_transaction_isolation = 'repeatable read'"]);
    let first = ("1_a.sql", "CREATE TABLE a (x int); INSERT INTO a VALUES (1)");
    migrate(directory(&[first]).path()).env("DATABASE_URL", &url).run().code(0);
    let gate = gate::close(&database);
    let update = format!("SELECT x FROM a; {}; UPDATE a SET x = x + 1", gate::PASS);
    let place = directory(&[first, ("2_b.sql", &update)]);
    let running = migrate(place.path()).env("DATABASE_URL", &url).start();
    wait_for("the migration has read", || {
        let sql = "SELECT count(*) FROM pg_locks WHERE relation = 'a'::regclass";
        (database.psql(sql) != "0").then_some(())
    });
    database.psql("UPDATE a SET x = 10");
    drop(gate);
    running.end().code(0).says("migration 2_b conflicted with other transactions");
    assert_eq!(database.psql("SELECT x FROM a"), "11");
}

#[test]
fn a_role_that_is_read_only_is_told_so() {
    let database = Server::shared().database();
    let url = role(&database, &["default_transaction_read_only = on"]);
    let place = directory(&[("1_a.sql", "CREATE TABLE a ()")]);
    let start = migrate(place.path()).words(["--wait-timeout", "1s"]).env("DATABASE_URL", &url);
    start.run().code(69).says("its sessions are read-only (default_transaction_read_only");
}

#[test]
fn a_name_that_the_database_cannot_hold_stops_before_anything_runs() {
    let server = Server::shared();
    let files = [("1_größe.sql", "CREATE TABLE a ()"), ("2_日本.sql", "SELECT 1")];
    for (encoding, code) in [("LATIN1", 65), ("SQL_ASCII", 0), ("UTF8", 0)] {
        let name = format!("encoded_{}", encoding.to_lowercase());
        server.psql(
            "postgres",
            &format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"),
        );
        let database = server.existing(&name);
        let migrate = |count| {
            let place = directory(&files[..count]);
            migrate(place.path()).database(database.url()).run()
        };
        let ended = migrate(2).code(code);
        if code != 0 {
            ended.says(
                "this database, LATIN1, cannot hold the name of migration 2_日本; rename its file",
            );
            assert!(!database.has_table("a"), "{encoding}");
        }
        migrate(1).code(0);
        migrate(1).code(0).says("none pending");
    }
}

#[test]
fn a_server_may_speak_another_language() {
    let mut server = Server::create(&[]);
    server.language = "de";
    server.run();
    let database = server.database();
    let place = directory(&[
        (
            "1_a.sql",
            "BEGIN; DO $$ BEGIN RAISE NOTICE 'halfway'; RAISE WARNING 'mind this'; END $$; CREATE TABLE a ()",
        ),
        ("2_b.sql", "CREATE INDEX CONCURRENTLY i ON nosuch (x);\nVACUUM a"),
    ]);
    let failed = migrate(place.path()).database(database.url()).run().code(76);
    failed
        .says("Relation »nosuch« existiert nicht")
        .says("migration: the server notes: halfway")
        .says("migration: the server warns: mind this")
        .says_nothing_of("25001");
    database.psql("CREATE TABLE nosuch (x int)");
    let status = premain(["status", "--migrations"]).with(place.path());
    status.database(database.url()).run().code(0);
    migrate(place.path()).database(database.url()).run().code(0);
}
