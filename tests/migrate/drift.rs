//! `--on-edited`, `--on-missing`, `--on-ahead`, `--on-out-of-order`: they override the rules of the tool.

use std::path::Path;

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate};

fn with(database: &Database<'_>, directory: &Path, options: &[&str]) -> Ended {
    migrate(directory).words(options).database(database.url()).run()
}

const V: [(&str, &str); 3] = [
    ("V1__a.sql", "CREATE TABLE a ()"),
    ("V2__b.sql", "CREATE TABLE b ()"),
    ("V3__c.sql", "CREATE TABLE c ()"),
];

#[test]
fn each_kind_of_drift_can_fail_warn_or_be_ignored() {
    let edited = [("V1__a.sql", "CREATE TABLE a (x int)"), V[1], V[2]];
    for (kind, files, says) in [
        ("edited", &edited[..], "was edited after it was applied"),
        ("missing", &[V[0], V[2]][..], "is applied but has no file"),
        ("ahead", &V[..2], "ahead of this image"),
    ] {
        let database = Server::shared().database();
        with(&database, directory(&V).path(), &[]).code(0);
        let place = directory(files);
        let option = |policy: &str| format!("--on-{kind}={policy}");
        with(&database, place.path(), &[&option("fail")]).code(65).says(says);
        with(&database, place.path(), &[&option("warn")]).code(0).says(says);
        with(&database, place.path(), &[&option("ignore")]).code(0).says_nothing_of(says);
        let variable = format!("PREMAIN_ON_{}", kind.to_uppercase());
        let ended = migrate(place.path()).database(database.url()).env(&variable, "ignore").run();
        ended.code(0).says_nothing_of(says);
    }
    let database = Server::shared().database();
    with(&database, directory(&V).path(), &["--on-ahead=maybe"])
        .code(64)
        .says("fail, warn, ignore");
}

#[test]
fn out_of_order_migrations_are_applied_unless_they_are_to_fail() {
    for (policy, code, tables) in [("fail", 65, "f"), ("warn", 0, "t"), ("ignore", 0, "t")] {
        let database = Server::shared().database();
        with(&database, directory(&[V[0], V[2]]).path(), &[]).code(0);
        let ended =
            with(&database, directory(&V).path(), &["--on-out-of-order", policy]).code(code);
        assert_eq!(ended.log.contains("is out of order"), policy != "ignore", "{}", ended.log);
        assert_eq!(database.psql("SELECT to_regclass('b') IS NOT NULL"), tables, "{policy}");
    }
}

const JOURNAL: &str = r#"{"version": "7", "dialect": "postgresql", "entries": [
    {"idx": 0, "version": "7", "when": 10, "tag": "0000_a", "breakpoints": true},
    {"idx": 1, "version": "7", "when": 30, "tag": "0001_b", "breakpoints": true}]}"#;
const LATER: &str = r#"{"version": "7", "dialect": "postgresql", "entries": [
    {"idx": 0, "version": "7", "when": 10, "tag": "0000_a", "breakpoints": true},
    {"idx": 1, "version": "7", "when": 30, "tag": "0001_b", "breakpoints": true},
    {"idx": 2, "version": "7", "when": 20, "tag": "0002_c", "breakpoints": true}]}"#;

#[test]
fn drizzle_skips_out_of_order_migrations_unless_told_to_apply_them() {
    let files = [("0000_a.sql", "CREATE TABLE a ()"), ("0001_b.sql", "CREATE TABLE b ()")];
    let before = directory(&[files[0], files[1], ("meta/_journal.json", JOURNAL)]);
    let after = directory(&[
        files[0],
        files[1],
        ("0002_c.sql", "CREATE TABLE c ()"),
        ("meta/_journal.json", LATER),
    ]);
    let database = Server::shared().database();
    with(&database, before.path(), &[]).code(0);
    with(&database, after.path(), &[]).code(0).says("0002_c is skipped, as Drizzle skips it");
    with(&database, after.path(), &["--on-out-of-order=fail"]).code(65);
    assert!(!database.has_table("c"));
    with(&database, after.path(), &["--on-out-of-order=warn"]).code(0).says("applied nevertheless");
    assert!(database.has_table("c"));
    with(&database, after.path(), &[]).code(0).says("none pending (3 applied before)");
}
