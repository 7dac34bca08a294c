//! Directories that are another tool's, or not quite what they should be: what would run by mistake
//! or be skipped stops the start before anything runs, and the message says what to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::directory;
use crate::support::layout::FORMATS;
use crate::support::postgres::Server;
use crate::support::premain::{Ended, Premain, migrate, premain};

/// Both directions in one file, as `marker` separates them.
fn both(marker: &str) -> String {
    format!("CREATE TABLE users (id int);\n{marker}\nDROP TABLE users;\n")
}

#[test]
fn a_down_section_of_another_tool_stops_the_start() {
    let database = Server::shared().database();
    for (marker, says) in [
        ("-- +migrate Down", "line 2 is a marker of sql-migrate"),
        ("---- create above / drop below ----", "line 2 is a marker of tern"),
        ("-- //@UNDO", "line 2 is a marker of MyBatis"),
        ("--//@UNDO", "line 2 is a marker of MyBatis"),
        ("-- rambler down", "line 2 is a marker of rambler"),
        ("--rollback DROP TABLE x;\n--changeset ada:2", "line 3 is a marker of Liquibase"),
        ("# --- !Downs", "line 2 is a marker of Play evolutions"),
        ("-- !Downs", "line 2 is a marker of Play evolutions"),
        ("-- +micrate Down", "line 2 is a marker of micrate"),
        ("-- ==== DOWN ====", "line 2 is a marker of shmig"),
        (" -- migrate:down", "line 2 is a marker of dbmate: give --format dbmate"),
        (" -- +goose Down", "line 2 is a marker of goose: give --format goose"),
        ("-- Down Migration", "sql:2:1: the down migration follows, as node-pg-migrate separates"),
        ("  ----\tDOWN  migration", "sql:2:3: the down migration follows, as node-pg-migrate"),
        ("-- downgrade --", "sql:2:1: the down migration follows, as aerich separates it"),
        ("-- Down", "sql:2:1: what follows looks like the down migration"),
        ("-- @UNDO", "sql:2:1: what follows looks like the down migration"),
    ] {
        for name in ["001_users.sql", "V1__users.sql"] {
            let place = directory(&[(name, &both(marker))]);
            migrate(place.path()).database(database.url()).run().code(65).says(says);
            assert!(!database.has_table("users"), "{name} {marker}");
            let shown = premain(["validate", "--migrations"]).with(place.path()).run().code(65);
            assert!(shown.output.contains(says.rsplit(": ").next().unwrap()), "{}", shown.output);
        }
    }
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // What only looks like it, and what is the format's own.
    for (format, sql) in [
        ("sql", "-- we migrate:down to you\nCREATE TABLE a ();\n-- Down the road\nSELECT 1;\n"),
        ("sql", "CREATE TABLE b ();\n-- Down Migration: see the file beside this one\n"),
        (
            "sql",
            "CREATE TABLE c ();\nSELECT '\n-- +migrate Down\n';\n-- rollback:\n-- DROP TABLE c;\n",
        ),
        ("goose", "-- +goose Up\nCREATE TABLE d ();\n-- +goose Down\nDROP TABLE d;\n"),
    ] {
        let (place, database) = (directory(&[("1_a.sql", sql)]), Server::shared().database());
        let premain = migrate(place.path()).words(["--format", format]);
        premain.database(database.url()).run().code(0).says("migrations 1 applied");
    }
}

#[test]
fn a_script_that_drops_what_it_has_created_is_a_warning() {
    let database = Server::shared().database();
    let place = directory(&[("001_a.sql", &both("")), ("002_b.sql", "CREATE TABLE b ();\n")]);
    let says = "it drops the table users, which it has created before";
    migrate(place.path()).database(database.url()).run().code(0).says("001_a.sql:3:1: ").says(says);
    let shown = premain(["validate", "--migrations"]).with(place.path()).run().code(0);
    assert!(shown.output.contains(&format!("3:1: warning: {says}")), "{}", shown.output);
    // Nothing is said of what is applied.
    migrate(place.path()).database(database.url()).run().code(0).says_nothing_of("it drops");
}

#[test]
fn what_looks_like_a_migration_and_is_not_read_stops_the_start() {
    let database = Server::shared().database();
    let fails = |place: &Path, says: &str| {
        let ended = migrate(place).database(database.url()).run().code(65);
        ended.says(says).says_nothing_of("applied in");
    };
    for (files, says) in [
        (["V1__a.sql", "V2__b.rs"], "V2__b.rs: it is a migration in Rust"),
        (["V1__a.sql", "V2_b.sql"], "V2_b.sql: it looks like a migration and is not read"),
        (["001_a.sql", "002_b.SQL"], "002_b.SQL: its ending is not .sql in lower case"),
        (["001_a.up.sql", "002_b.up.pgsql"], "002_b.up.pgsql: it looks like a migration, and only"),
        (["001_a.sql", "002_b.js"], "002_b.js: it is a migration in JavaScript"),
        (["001_a.sql", "more/002_b.sql"], "more: it is not read, and 002_b.sql in it looks like"),
        (["2024-01-01-000000_a/up.sql", "2024-01-01-000000_a/down.sql"], "as diesel or Hasura"),
        (["0001_initial.py", "__init__.py"], "0001_initial.py: it is a migration in Python"),
        (["drizzle/0000_a.sql", "drizzle/0001_b.sql"], "_journal.json: Drizzle's migrations need"),
        (["drizzle/0000_a.sql", "drizzle/meta/0000_snapshot.json"], "_journal.json: Drizzle's"),
        (["1_a/migration.sql", "2_b.sql"], "2_b.sql: it looks like a migration and is not read"),
    ] {
        let place = directory(&files.map(|file| (file, "SELECT 1;\n")));
        let drizzle = place.path().join("drizzle");
        fails(if drizzle.is_dir() { &drizzle } else { place.path() }, says);
    }
    let elsewhere = directory(&[("V2__b.sql", "SELECT 1"), ("002_b.sql", "SELECT 1")]);
    for (name, says) in
        [("V1__a.sql", "it is a link to a directory"), ("001_a.sql", "it is not read, and")]
    {
        let place = directory(&[(name, "SELECT 1")]);
        symlink(elsewhere.path(), place.path().join("linked")).unwrap();
        fails(place.path(), &format!("linked: {says}"));
    }
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

#[test]
fn what_usually_is_beside_migrations_is_left_alone() {
    let beside = [
        "README.md",
        "LICENSE",
        ".gitkeep",
        ".DS_Store",
        "schema.sql",
        "structure.sql",
        "seeds.sql",
        "seeds/001_a.sql",
        "atlas.sum",
        "migration_lock.toml~",
        "relations.ts",
        "schema.ts",
        "mod.rs",
        "embed.go",
        "001_a_test.go",
        "node_modules/x/1.js",
        "meta.json",
        "001_notes.md",
        "001_a.sql.bak",
        "snapshots/0000_snapshot.json",
    ];
    for format in ["sql", "refinery", "flyway", "sqlx", "golang-migrate"] {
        let name = match format {
            "refinery" | "flyway" => "V1__t.sql",
            "golang-migrate" => "1_t.up.sql",
            _ => "1_t.sql",
        };
        let files: Vec<_> = beside
            .iter()
            .map(|name| (*name, "none"))
            .chain([(name, "CREATE TABLE t ()")])
            .collect();
        let (place, database) = (directory(&files), Server::shared().database());
        let ended =
            migrate(place.path()).words(["--format", format]).database(database.url()).run();
        ended.code(0).says("migrations 1 applied").says_nothing_of("warning");
    }
}

#[test]
fn no_migrations_are_a_warning_that_names_the_right_directory() {
    let database = Server::shared().database();
    let start = |place: &Path, words: &[&str]| -> Ended {
        let start = premain(words).words(["--", "true"]).within(place).database(database.url());
        start.run().code(0)
    };
    let place =
        directory(&[("db/migrations/001_a.sql", "CREATE TABLE a ()"), ("empty/.gitkeep", "")]);
    let right = "./db/migrations holds some (sql, 1 file): give --migrations ./db/migrations";
    start(place.path(), &[])
        .says("warning: no migrations: ./drizzle, ./prisma/migrations and ./migrations hold none")
        .says(right);
    start(place.path(), &["--migrations", "empty"])
        .says("no migrations: empty holds none; ")
        .says(right);
    start(place.path(), &["--migrations", "none"]).says_nothing_of("warning");
    start(directory(&[]).path(), &[]).says("name their directory with --migrations");
    let shown = premain(["validate"]).within(place.path()).run().code(0);
    assert!(shown.output.contains(right), "{}", shown.output);
    assert!(!database.has_table("a"));
}

#[test]
fn a_directory_that_may_be_another_tools_gets_one_hint() {
    let pair = [("1_a.up.sql", "CREATE TABLE a ()"), ("1_a.down.sql", "DROP TABLE a")];
    for (files, says) in [
        (
            &pair[..],
            "warning: migrations: taken for plain SQL, recorded in a table that only premain reads; golang-migrate's",
        ),
        (&[("1_a.sql", "CREATE TABLE a ()")], "if sqlx is to continue, give --format sqlx"),
    ] {
        let (place, database) = (directory(files), Server::shared().database());
        let run = |premain: Premain| premain.database(database.url()).run().code(0);
        run(migrate(place.path())).says(says).says("migrations 1 applied");
        run(migrate(place.path())).says_nothing_of("taken for plain SQL");
        let database = Server::shared().database();
        let chosen = migrate(place.path()).env("PREMAIN_FORMAT", "sql").database(database.url());
        chosen.run().code(0).says_nothing_of("taken for plain SQL");
    }
}

#[test]
fn a_pending_template_stops_the_start_in_every_format() {
    for format in FORMATS {
        let (place, database) = (directory(&[]), Server::shared().database());
        let words = ["--migrations", "db", "--format", format];
        let run = |words: &[&str], command: &[&str]| {
            let premain = premain(command).words(words).within(place.path());
            premain.database(database.url()).run()
        };
        let output = run(&words, &["new", "orders"]).code(0).output;
        let says = "it is still as 'premain new' wrote it; fill it in, or remove it";
        run(&words, &["migrate"]).code(65).says(says).says("no migration was run");
        let shown = run(&words, &["validate"]).code(65);
        assert!(shown.output.contains(says), "{format}: {}", shown.output);
        // One that is recorded as applied is left alone.
        run(&words, &["baseline"]).code(0);
        run(&words, &["migrate"]).code(0).says("none pending");
        // Filled in.
        let database = Server::shared().database();
        let file = place.path().join(output.lines().next().unwrap());
        let text = fs::read_to_string(&file).unwrap();
        let filled = match format {
            "dbmate" => text.replace("up\n", "up\nCREATE TABLE orders ();\n"),
            "goose" => text.replace("SELECT 'up SQL query'", "CREATE TABLE orders ()"),
            _ => format!("{text}\nCREATE TABLE orders ();\n"),
        };
        fs::write(&file, filled).unwrap();
        let filled = premain(["migrate"]).words(words).within(place.path());
        filled.database(database.url()).run().code(0).says("migrations 1 applied");
        assert!(database.has_table("orders"), "{format}");
    }
}
