//! `premain reset`: drops everything and migrates again, never in production.

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, migrate, premain};

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
        ("postgres://u@prod-db/app", "the host prod-db:5432 looks like production"),
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
