//! `premain status`: a table for people, JSON for programs, an exit status for CI.

use crate::support::directory;
use crate::support::postgres::Server;
use crate::support::premain::{Premain, migrate, premain};

const FILES: [(&str, &str); 3] = [
    ("V1__a.sql", "CREATE TABLE a ()"),
    ("V2__b.sql", "CREATE TABLE b ()"),
    ("V3__c.sql", "CREATE TABLE c ()"),
];

fn status(place: &tempfile::TempDir, url: &str) -> Premain {
    premain(["status", "--exit-code", "--migrations"]).with(place.path()).database(url)
}

#[test]
fn migrations_are_pending_then_applied() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let ended = status(&place, &database.url()).run().code(1);
    assert!(ended.output.contains("V2__b  pending"), "{}", ended.output);
    assert!(!database.has_table("refinery_schema_history"), "status touches nothing");

    migrate(place.path()).database(database.url()).run().code(0);
    let ended = status(&place, &database.url()).run().code(0);
    assert!(ended.output.contains("V3__c  applied"), "{}", ended.output);
}

#[test]
fn every_kind_of_drift_has_its_state() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    migrate(place.path()).database(database.url()).run().code(0);
    database.psql("DELETE FROM refinery_schema_history WHERE version = 2");
    let drifted = directory(&[("V1__a.sql", "CREATE TABLE a (x int)"), FILES[1]]);
    let ended = status(&drifted, &database.url()).words(["--output", "json"]).run().code(65);
    for state in ["\"edited\"", "\"out-of-order\"", "\"ahead\""] {
        assert!(ended.output.contains(state), "{state}: {}", ended.output);
    }
}

#[test]
fn a_database_that_is_ahead_is_no_failure() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    migrate(place.path()).database(database.url()).run().code(0);
    let older = directory(&FILES[..2]);
    status(&older, &database.url()).run().code(0).says("ahead of this image");
}

#[test]
fn a_missing_database_setting_is_explained() {
    for command in ["status", "migrate", "wait"] {
        premain([command]).run().code(78).says("set DATABASE_URL");
    }
}

#[test]
fn migrations_without_a_number_are_shown_by_name() {
    let database = Server::shared().database();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/drizzle/migrations");
    let status =
        || premain(["status", "--exit-code", "--migrations", fixture]).database(database.url());
    let ended = status().run().code(1);
    assert!(ended.output.contains("0003_prefs_check  pending"), "{}", ended.output);
    migrate(fixture.as_ref()).database(database.url()).run().code(0);
    database.psql("INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('', 7)");
    let ended = status().words(["--output", "json"]).run().code(0);
    let answer: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let rows = answer["migrations"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!((&rows[0]["name"], &rows[0]["state"]), (&"with 'when' 7".into(), &"missing".into()));
    assert_eq!((&rows[1]["name"], &rows[1]["state"]), (&"0000_init".into(), &"applied".into()));
    assert!(rows[1].get("version").is_none());
}

#[test]
fn each_state_has_its_exit_status_and_its_json() {
    let database = Server::shared().database();
    let place = directory(&[
        ("001_a.up.sql", "CREATE TABLE a ()"),
        ("001_a.down.sql", "DROP TABLE a"),
        ("002_b.sql", "CREATE TABLE b ()"),
    ]);
    let look = |code: i32| {
        let ended = status(&place, &database.url()).words(["--output", "json"]).run().code(code);
        serde_json::from_str::<serde_json::Value>(&ended.output).unwrap()
    };
    let answer = look(1);
    assert_eq!(answer["state"], "pending");
    assert_eq!(answer["format"], "sql");
    assert_eq!(answer["folder"], place.path().to_str().unwrap());
    assert_eq!(answer["totals"]["pending"], 2);
    assert_eq!(answer["migrations"][0]["down"], true);
    assert_eq!(answer["migrations"][1]["down"], false);
    assert!(answer["migrations"][1]["file"].as_str().unwrap().ends_with("/002_b.sql"));
    migrate(place.path()).database(database.url()).run().code(0);
    assert_eq!(look(0)["state"], "up-to-date");

    database.psql("UPDATE premain_migrations SET success = false WHERE version = 2");
    let answer = look(2);
    assert_eq!(
        (&answer["state"], &answer["migrations"][1]["state"]),
        (&"failed".into(), &"failed".into())
    );
    assert!(answer["drift"][0]["says"].as_str().unwrap().contains("premain resolve --applied 2"));
    database.psql("UPDATE premain_migrations SET success = true, sha256 = '' WHERE version = 2");
    let answer = look(65);
    assert_eq!(
        (&answer["state"], &answer["drift"][0]["policy"]),
        (&"drift".into(), &"fail".into())
    );
    let ended = status(&place, &database.url()).with("--on-edited=ignore").run().code(0);
    ended.says_nothing_of("was edited");
}

#[test]
fn an_unreachable_database_is_reported_soon() {
    let place = directory(&FILES);
    let server = Server::shared();
    let absent = server.url("absent");
    let ended = status(&place, &absent).words(["--output", "json"]).run().code(77);
    let answer: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(answer["state"], "error");
    assert!(answer["error"].as_str().unwrap().contains("\"absent\" does not exist"), "{answer}");
    status(&place, "postgres://u@127.0.0.1:1/d").run().code(69).says("refused");
}

#[test]
fn unmanaged_tables_are_reported_as_a_start_would() {
    let place = directory(&FILES);
    let database = Server::shared().database();
    database.psql("CREATE TABLE t ()");
    let ended = status(&place, &database.url()).run().code(65).says("'premain baseline VERSION'");
    assert!(ended.output.contains("3 pending"), "{}", ended.output);
}
