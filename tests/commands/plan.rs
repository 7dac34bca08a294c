//! `premain plan`: the SQL that would run, as an executable script.

use std::process::Command;

use crate::support::layout::{FORMATS, migrations};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, migrate, premain};
use crate::support::{directory, output, program};

const FILES: [(&str, &str); 3] = [
    ("001_a.sql", "CREATE TABLE a (t text DEFAULT 'it''s; fine') -- no semicolon"),
    ("002_b.sql", "\u{feff}CREATE TABLE b ();\r\nDO $$ BEGIN PERFORM 1; END $$;\r\n"),
    ("003_c.sql", "CREATE TABLE c ();"),
];

fn plan(directory: &std::path::Path, database: &Database<'_>) -> Premain {
    premain(["plan", "--migrations"]).with(directory).database(database.url())
}

fn psql(database: &Database<'_>, script: &str) {
    let file = directory(&[("script.sql", script)]);
    let mut command = Command::new(program("psql", "postgresql-client"));
    command.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file.path().join("script.sql"));
    let output = output(command.arg(database.url()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{script}");
}

#[test]
fn psql_running_the_plan_gives_the_same_result() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let place = directory(&FILES);
    for database in [&ours, &theirs] {
        migrate(directory(&FILES[..1]).path()).database(database.url()).run().code(0);
    }
    let before = theirs.dump();
    let ended = plan(place.path(), &theirs).run().code(0);
    assert!(ended.output.contains("-- 2 of 3 migrations pending"), "{}", ended.output);
    assert_eq!(theirs.dump(), before, "it touches nothing");
    psql(&theirs, &ended.output);
    migrate(place.path()).database(ours.url()).run().code(0);
    let rows = "SELECT version, name, sha256, applied_by, success FROM premain_migrations";
    assert_eq!(ours.psql(rows), theirs.psql(rows));
    assert!(theirs.has_table("b") && theirs.has_table("c"));
    let ended = plan(place.path(), &theirs).run().code(0);
    assert!(ended.output.ends_with("-- 0 of 3 migrations pending\n"), "{}", ended.output);
}

#[test]
fn the_plan_creates_the_history_table_first() {
    let place = directory(&[
        (
            "meta/_journal.json",
            r#"{"version": "7", "dialect": "postgresql", "entries": [
            {"idx": 0, "version": "7", "when": 10, "tag": "0000_a", "breakpoints": true}]}"#,
        ),
        ("0000_a.sql", "CREATE TABLE a ()--> statement-breakpoint\nCREATE TABLE b ();"),
    ]);
    let database = Server::shared().database();
    let ended = plan(place.path(), &database).run().code(0);
    assert!(!database.has_table("drizzle.__drizzle_migrations"));
    psql(&database, &ended.output);
    migrate(place.path()).database(database.url()).run().code(0).says("none pending (1 applied");
}

#[test]
fn the_plan_is_available_as_json() {
    let place = directory(&FILES);
    let database = Server::shared().database();
    let ended = plan(place.path(), &database).words(["--output", "json"]).run().code(0);
    let answer: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(answer["steps"].as_array().unwrap().len(), 3);
    assert_eq!(answer["steps"][1]["migrations"][0], "002_b");
    assert!(answer["before"][0].as_str().unwrap().contains("premain_migrations"), "{answer}");
}

#[test]
fn the_plan_fails_where_a_start_would() {
    let database = Server::shared().database();
    migrate(directory(&FILES).path()).database(database.url()).run().code(0);
    let edited = directory(&[("001_a.sql", "SELECT 1"), FILES[1], FILES[2]]);
    let ended = plan(edited.path(), &database).run().code(65);
    assert!(ended.output.starts_with("-- refused: migration 001_a was edited"), "{}", ended.output);
    let more =
        directory(&[FILES[0], FILES[1], FILES[2], ("004_d.sql", "SELECT 1;\n\\copy t from x")]);
    let ended = plan(more.path(), &database).run().code(65).says("004_d.sql:2:1");
    assert!(ended.output.contains("-- refused:"), "{}", ended.output);
    let inhabited = Server::shared().database();
    inhabited.psql("CREATE TABLE t ()");
    plan(more.path(), &inhabited).run().code(65);
    plan(directory(&FILES).path(), &inhabited).run().code(65).says("has 1 table and no history");
}

#[test]
fn no_transaction_statements_are_planned_outside_a_transaction() {
    let place = directory(&[
        FILES[0],
        (
            "002_i.sql",
            "CREATE INDEX CONCURRENTLY i ON a (t);\nCREATE INDEX CONCURRENTLY j ON a (t)",
        ),
        FILES[2],
    ]);
    let database = Server::shared().database();
    let ended = plan(place.path(), &database).run().code(0);
    psql(&database, &ended.output);
    assert_eq!(
        database.psql("SELECT string_agg(version || ' ' || success, ', ') FROM premain_migrations"),
        "1 true, 2 true, 3 true"
    );
    migrate(place.path()).database(database.url()).run().code(0).says("none pending (3 applied");
}

#[test]
fn the_plan_of_what_is_not_one_transaction_is_what_runs() {
    for format in FORMATS {
        let sql = |n: usize| match n {
            1 => "CREATE TABLE a (n int)".to_owned(),
            2 => "INSERT INTO a VALUES (2); VACUUM a;".to_owned(),
            _ => "BEGIN; INSERT INTO a VALUES (3); COMMIT;".to_owned(),
        };
        let place = migrations(format, 3, sql);
        let database = Server::shared().database();
        let words = ["plan", "--format", format, "--migrations"];
        let plan = premain(words).with(place.path()).database(database.url()).run().code(0);
        psql(&database, &plan.output);
        migrate(place.path())
            .words(["--format", format])
            .database(database.url())
            .run()
            .code(0)
            .says("none pending (3 applied before)");
        assert_eq!(database.psql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM a"), "2 3");
        assert!(!database.has_table("premain_unfinished"), "{format}");
    }
}
