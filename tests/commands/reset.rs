//! `premain reset`: drops everything and migrates again, never in production.

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, migrate, premain};
use crate::support::{directory, executables};

const FILES: [(&str, &str); 3] = [
    ("001_a.sql", "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial)"),
    (
        "002_app.sql",
        "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad'); CREATE TABLE app.t (m app.mood)",
    ),
    ("003_x.sql", "CREATE EXTENSION hstore; CREATE TABLE x (h hstore)"),
];

fn reset(directory: &std::path::Path, url: &str) -> Premain {
    premain(["reset", "--migrations"]).with(directory).database(url)
}

/// A database with everything that a developer may have left in it.
fn inhabited(directory: &std::path::Path) -> Database<'static> {
    let database = Server::shared().database();
    migrate(directory).database(database.url()).run().code(0);
    database.psql(
        "INSERT INTO a DEFAULT VALUES; CREATE TABLE parted (i int) PARTITION BY LIST (i); \
         CREATE TABLE part PARTITION OF parted DEFAULT; CREATE VIEW v AS SELECT * FROM a; \
         CREATE MATERIALIZED VIEW mv AS SELECT 1; CREATE SEQUENCE s; CREATE DOMAIN positive AS int CHECK (value > 0); \
         CREATE TYPE pair AS (a int, b positive); CREATE TYPE span AS RANGE (subtype = int); \
         CREATE FUNCTION f(pair) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0'); \
         CREATE FUNCTION next(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'; \
         CREATE AGGREGATE row_count(*) (sfunc = next, stype = int); \
         CREATE PROCEDURE pr() LANGUAGE sql AS ''; CREATE CAST (pair AS text) WITH INOUT; \
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; \
         CREATE USER MAPPING FOR postgres SERVER far; CREATE FOREIGN TABLE ft (a int) SERVER far; \
         CREATE PUBLICATION pub FOR ALL TABLES; SELECT lo_create(4711); \
         CREATE FUNCTION no_drop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'; \
         CREATE EVENT TRIGGER guard ON sql_drop EXECUTE FUNCTION no_drop(); \
         CREATE OPERATOR @+ (leftarg = int, rightarg = int, function = int4pl); \
         CREATE COLLATION c FROM \"C\"; CREATE TEXT SEARCH CONFIGURATION ts (COPY = simple); \
         CREATE STATISTICS st ON id, n FROM a; CREATE SCHEMA \"My schema\"; CREATE TABLE \"My schema\".\"T t\" ()",
    );
    database
}

#[test]
fn reset_drops_everything_and_migrates_again() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    let fresh = Server::shared().database();
    migrate(place.path()).database(fresh.url()).run().code(0);
    database.psql("CREATE EXTENSION pgcrypto; GRANT USAGE ON SCHEMA public TO pg_monitor");
    let other = database.open("BEGIN; LOCK TABLE a;");
    reset(place.path(), &database.url())
        .with("--yes")
        .run()
        .code(0)
        .says("1 other session ended")
        .says("migrations 3 applied");
    drop(other);
    assert_eq!(database.psql("SELECT count(*) FROM a"), "0");
    // Objects of other owners are still there.
    assert_eq!(database.psql("SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto'"), "1");
    assert_eq!(database.psql("SELECT has_schema_privilege('pg_monitor', 'public', 'USAGE')"), "t");
    database.psql("DROP EXTENSION pgcrypto; REVOKE USAGE ON SCHEMA public FROM pg_monitor");
    database.psql("DROP SCHEMA \"My schema\"");
    let shape = |database: &Database<'_>| {
        database.psql("UPDATE premain_migrations SET applied_at = 'epoch', duration = '0'");
        database.dump()
    };
    assert_eq!(shape(&database), shape(&fresh));
}

#[test]
fn a_role_that_owns_only_its_tables_can_reset() {
    let place = directory(&[("001_a.sql", "CREATE TABLE a ()")]);
    let database = Server::shared().database();
    let role = format!("developer_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}"));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    reset(place.path(), &url).with("--yes").run().code(0).says("migrations 1 applied");
    reset(place.path(), &url).with("--yes").run().code(0).says("migrations 1 applied");
    database.psql("CREATE TABLE theirs ()");
    reset(place.path(), &url).with("--yes").run().code(77).says("theirs");
    assert!(database.has_table("a"));
}

#[test]
fn reset_asks_for_the_name_of_the_database() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    reset(place.path(), &database.url()).run().code(64).says("give --yes if you are sure");
    for (answer, rows) in [("yes", "1"), ("", "1"), (database.name.as_str(), "0")] {
        let mut terminal = reset(place.path(), &database.url()).at_a_terminal();
        terminal.shows("Type the name of the database");
        terminal.types(&format!("{answer}\n"));
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert_eq!(database.psql("SELECT count(*) FROM a"), rows, "{screen}");
    }
}

#[test]
fn production_is_never_reset() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    for (name, value) in [
        ("NODE_ENV", "production"),
        ("APP_ENV", "prod"),
        ("RAILS_ENV", "Production"),
        ("PREMAIN_ENV", "eu-production"),
        ("DJANGO_SETTINGS_MODULE", "shop.settings.production"),
        ("ASPNETCORE_ENVIRONMENT", "Production"),
        ("stage", "LIVE"),
        ("Deploy_Env", "prod2"),
    ] {
        reset(place.path(), &database.url())
            .with("--yes")
            .env(name, value)
            .run()
            .code(64)
            .says(&format!("{name} is {value}; nothing was dropped"));
    }
    for (url, says) in [
        ("postgres://u@db.example.com/app", "the host db.example.com is neither local nor private"),
        ("postgres://u@x.rds.amazonaws.com/app", "neither local nor private"),
        ("postgres://u@8.8.8.8/app", "neither local nor private"),
        ("postgres://u@127.0.0.1,db.example.com/app", "neither local nor private"),
        ("postgres://u@prod-db/app", "the host prod-db looks like production"),
        ("postgres://u@127.0.0.1/shop_production", "the database shop_production looks like"),
        ("postgres://prod@127.0.0.1/app", "the user prod looks like"),
    ] {
        reset(place.path(), url)
            .with("--yes")
            .run()
            .code(64)
            .says(says)
            .says("nothing was dropped");
    }
    // The application's database counts, too.
    for (name, value) in [
        ("DATABASE_URL", "postgres://u@db.example.com/app"),
        ("DIRECT_URL", "postgres://u@prod-db/app"),
        ("DB_HOST", "134744072"),
    ] {
        premain(["reset", "--yes", "--migrations"])
            .with(place.path())
            .env("MIGRATION_DATABASE_URL", database.url())
            .env(name, value)
            .run()
            .code(64)
            .says("nothing was dropped");
    }
    assert_eq!(database.psql("SELECT count(*) FROM a"), "1");
    let ended = reset(place.path(), &database.url()).with("--yes").env("PREMAIN_ENV", "test").run();
    ended.code(0).says_nothing_of("unknown variable PREMAIN_ENV");
}

#[test]
fn an_unreadable_directory_drops_nothing() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    let broken = directory(&[("001_a.sql", ""), ("1_b.sql", "")]);
    reset(broken.path(), &database.url()).with("--yes").run().code(65);
    assert_eq!(database.psql("SELECT count(*) FROM a"), "1");
    premain(["reset", "--yes"]).run().code(78).says("set DATABASE_URL");
}

#[test]
fn what_a_start_would_reject_is_found_before_anything_is_dropped() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    let yes = |place: &std::path::Path| reset(place, &database.url()).with("--yes");
    let empty = directory(&[]);
    let nothing = premain(["reset", "--yes"]).within(empty.path()).database(database.url());
    nothing.run().code(64).says("found no migrations");
    yes(empty.path()).run().code(64).says("found no migrations");
    for (sql, code, says) in [
        ("\\connect other", 65, "is a command of psql's"),
        ("SELECT 1;\n-- Down\nSELECT 2;", 65, "what follows looks like the down migration"),
        ("CREATE ROLE postgres", 65, "creates role postgres, which exists"),
    ] {
        let wrong = directory(&[("001_a.sql", sql)]);
        yes(wrong.path()).run().code(code).says(says);
    }
    let failing = |option| yes(place.path()).words([option, "false"]).run().code(74);
    failing("--generate");
    failing("--before-migrate");
    database.psql(
        "DROP EVENT TRIGGER guard; CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)",
    );
    yes(place.path()).run().code(65).says("subscription sub has a replication slot");
    database.psql("ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub");

    let other = database.open("SELECT pg_advisory_lock(31650977343957358);");
    yes(place.path()).words(["--lock-timeout", "100ms"]).run().code(75).says("held by pid");
    assert_eq!(database.sessions(), 1, "the holder's session was not ended");
    drop(other);
    assert_eq!(database.psql("SELECT count(*) FROM a"), "1");
}

#[test]
fn a_backup_is_taken_before_the_database_is_emptied() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    let hooks = executables(&[
        ("backup", "#!/bin/sh\npsql -Atc 'SELECT count(*) FROM a' >>\"$0.out\"\n"),
        ("generate", "#!/bin/sh\necho x >>\"$0.out\"\n"),
    ]);
    let hook = |name: &str| hooks.path().join(name);
    reset(place.path(), &database.url())
        .with("--yes")
        .with("--before-migrate")
        .with(hook("backup"))
        .with("--generate")
        .with(hook("generate"))
        .run()
        .code(0);
    for (name, output) in [("backup.out", "1\n"), ("generate.out", "x\n")] {
        assert_eq!(std::fs::read_to_string(hook(name)).unwrap(), output, "{name}");
    }
    assert_eq!(database.psql("SELECT count(*) FROM a"), "0");
}

#[test]
fn a_second_reset_finds_nothing_in_its_way() {
    let place = directory(&[(
        "001_a.sql",
        "CREATE SCHEMA app; CREATE EXTENSION hstore; CREATE TABLE a (); CREATE PUBLICATION p FOR TABLE a; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; \
         SELECT lo_create(4711); CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'; \
         CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f(); CREATE CAST (integer AS json) WITH INOUT; \
         CREATE ACCESS METHOD h TYPE TABLE HANDLER heap_tableam_handler",
    )]);
    let database = Server::shared().database();
    for _ in 0..3 {
        reset(place.path(), &database.url()).with("--yes").run().code(0);
    }
}

#[test]
fn thousands_of_tables_do_not_exhaust_the_locks() {
    let place = directory(&FILES[..1]);
    let database = Server::shared().database();
    database.psql(
        "CREATE TABLE parted (i int PRIMARY KEY, t text) PARTITION BY LIST (i); \
         CREATE TABLE parent (i int PRIMARY KEY); INSERT INTO parent VALUES (1)",
    );
    // Each of them has an index, and a table for large values with an index of its own: more locks than a transaction can have.
    database.psql(
        "DO $$ BEGIN FOR i IN 1..1200 LOOP \
             EXECUTE format('CREATE TABLE part%s PARTITION OF parted FOR VALUES IN (%s)', i, i); \
             EXECUTE format('CREATE TABLE child%s (id serial PRIMARY KEY, i int REFERENCES parent, t text)', i); \
             EXECUTE format('INSERT INTO child%s (i) VALUES (1)', i); \
             IF i % 50 = 0 THEN COMMIT; END IF; END LOOP; END $$",
    );
    database.psql("CREATE TABLE premain_migrations ()");
    let data_only = reset(place.path(), &database.url()).words(["--data-only", "--yes"]);
    data_only.run().code(0).says("2402 tables, schema and history kept");
    assert_eq!(database.psql("SELECT count(*) FROM child7"), "0");
    reset(place.path(), &database.url()).with("--yes").run().code(0).says("migrations 1 applied");
    assert_eq!(database.psql("SELECT count(*) FROM pg_class WHERE relname ~ '^(part|child)'"), "0");
}

#[test]
fn data_only_keeps_schema_and_history() {
    let place = directory(&FILES);
    let database = inhabited(place.path());
    database.psql(
        "CREATE TABLE knex_migrations AS SELECT 1; INSERT INTO a (n) VALUES (7); INSERT INTO app.t VALUES ('sad'); \
         SELECT nextval('s'); REFRESH MATERIALIZED VIEW mv",
    );
    let schema = |database: &Database<'_>| {
        database.psql("SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_class")
    };
    let before = (schema(&database), database.psql("TABLE premain_migrations"));
    reset(place.path(), &database.url())
        .words(["--data-only", "--yes"])
        .run()
        .code(0)
        .says("tables, schema and history kept")
        .says_nothing_of("applied");
    assert_eq!((schema(&database), database.psql("TABLE premain_migrations")), before);
    for (sql, expected) in [
        ("SELECT count(*) FROM a", "0"),
        ("SELECT count(*) FROM app.t", "0"),
        ("SELECT count(*) FROM knex_migrations", "1"),
        ("SELECT nextval('s')", "1"),
        ("INSERT INTO a DEFAULT VALUES RETURNING id", "1"),
        ("SELECT count(*) FROM pg_largeobject_metadata", "0"),
    ] {
        assert_eq!(database.psql(sql), expected, "{sql}");
    }
    reset(place.path(), &database.url())
        .words(["--data-only", "--yes"])
        .env("NODE_ENV", "production")
        .run()
        .code(64);
}
