//! `premain status`: a table for people, JSON for programs, an exit status for CI.

use crate::support::folder;
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
fn pending_then_applied() {
    let database = Server::shared().database();
    let place = folder(&FILES);
    let ended = status(&place, &database.url()).run().code(1);
    assert!(ended.output.contains("2 b  pending"), "{}", ended.output);
    assert!(!database.has_table("refinery_schema_history"), "status touches nothing");

    migrate(place.path()).database(database.url()).run().code(0);
    let ended = status(&place, &database.url()).run().code(0);
    assert!(ended.output.contains("3 c  applied"), "{}", ended.output);
}

#[test]
fn every_kind_of_drift_has_its_word() {
    let database = Server::shared().database();
    let place = folder(&FILES);
    migrate(place.path()).database(database.url()).run().code(0);
    database.psql("DELETE FROM refinery_schema_history WHERE version = 2");
    let drifted = folder(&[("V1__a.sql", "CREATE TABLE a (x int)"), FILES[1]]);
    let ended = status(&drifted, &database.url()).words(["--output", "json"]).run().code(65);
    for state in ["\"edited\"", "\"out-of-order\"", "\"ahead\""] {
        assert!(ended.output.contains(state), "{state}: {}", ended.output);
    }
}

#[test]
fn a_database_that_is_ahead_is_no_failure() {
    let database = Server::shared().database();
    let place = folder(&FILES);
    migrate(place.path()).database(database.url()).run().code(0);
    let older = folder(&FILES[..2]);
    status(&older, &database.url()).run().code(0).says("ahead of this image");
}

#[test]
fn without_a_database_it_says_what_to_set() {
    for command in ["status", "migrate", "wait"] {
        premain([command]).run().code(78).says("set DATABASE_URL");
    }
}

#[test]
fn migrations_that_have_no_number_go_by_their_names() {
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
