//! VERSION: the one migration that a number, a name or a file name means, in every command that takes one.

use std::path::Path;

use crate::support::directory;
use crate::support::layout::{FORMATS, migrations};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate, premain};

fn run(database: &Database<'_>, directory: &Path, words: &[&str]) -> Ended {
    premain(words).with("--migrations").with(directory).database(database.url()).run()
}

/// The versions that are recorded; the failed ones with a `!`.
fn recorded(database: &Database<'_>) -> String {
    database.psql(
        "SELECT string_agg(version || CASE WHEN success THEN '' ELSE '!' END, ' ' ORDER BY version) \
         FROM premain_migrations",
    )
}

fn fail(database: &Database<'_>, version: i64) {
    database
        .psql(&format!("UPDATE premain_migrations SET success = false WHERE version = {version}"));
}

#[test]
fn a_version_is_a_number_a_name_or_a_file_name() {
    let place = directory(&[
        ("001_users.sql", "CREATE TABLE users ()"),
        ("002_orders.up.sql", "CREATE TABLE orders ()"),
        ("002_orders.down.sql", "DROP TABLE orders"),
        ("003_items.up.sql", "CREATE TABLE items ()"),
        ("003_items.down.sql", "DROP TABLE items"),
    ]);
    for version in ["2", "002", "orders", "002_orders", "002_orders.up.sql", "002_orders.up"] {
        let database = Server::shared().database();
        database.psql("CREATE TABLE users (); CREATE TABLE orders ()");
        let run = |words: &[&str]| run(&database, place.path(), words).code(0);

        run(&["baseline", version]).says("migrations: 2 of 3 recorded");
        assert_eq!(recorded(&database), "1 2", "{version}");

        migrate(place.path()).database(database.url()).run().code(0);
        run(&["rollback", "--yes", "--to", version]).says("migration 003_items rolled back");
        assert_eq!(recorded(&database), "1 2", "{version}");

        fail(&database, 2);
        run(&["resolve", "--applied", version]).says("migration 002_orders recorded as applied");
        assert_eq!(recorded(&database), "1 2", "{version}");

        fail(&database, 2);
        run(&["resolve", "--rolled-back", version]).says("migration 002_orders is pending again");
        assert_eq!(recorded(&database), "1", "{version}");
    }
}

#[test]
fn the_title_and_the_description_in_the_status_are_versions_in_every_format() {
    for format in FORMATS {
        let place = migrations(format, 3, |n| format!("CREATE TABLE t{n} ()"));
        let words = ["--format", format];
        let path = place.path().to_str().unwrap();
        let database = Server::shared().database();
        let status = premain(["status", "--output", "json", "--migrations", path]).words(words);
        let status = status.database(database.url()).run().code(0).output;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let second = &status["migrations"][1];
        let file = Path::new(second["file"].as_str().unwrap());
        let file_name = match file.file_name().unwrap().to_str().unwrap() {
            "migration.sql" => file.parent().unwrap().file_name().unwrap().to_str().unwrap(),
            name => name,
        };
        for version in
            [second["name"].as_str().unwrap(), second["description"].as_str().unwrap(), file_name]
        {
            let database = Server::shared().database();
            let baseline = premain(["baseline", version, "--migrations", path]).words(words);
            let ended = baseline.database(database.url()).run().code(0);
            ended.says("migrations: 2 of 3 recorded");
        }
    }
}

const SEEDS: [(&str, &str); 6] = [
    ("001_seed.up.sql", "CREATE TABLE a ()"),
    ("001_seed.down.sql", "DROP TABLE a"),
    ("002_users.up.sql", "CREATE TABLE b ()"),
    ("002_users.down.sql", "DROP TABLE b"),
    ("003_seed.up.sql", "CREATE TABLE c ()"),
    ("003_seed.down.sql", "DROP TABLE c"),
];

/// Each command that takes VERSION is wrong usage that lists these migrations, and changes nothing.
#[track_caller]
fn is_ambiguous(database: &Database<'_>, directory: &Path, version: &str, fitting: &str) {
    let before = database.dump();
    for words in [
        &["baseline", version][..],
        &["resolve", "--applied", version],
        &["resolve", "--rolled-back", version],
        &["rollback", "--yes", "--to", version],
    ] {
        run(database, directory, words)
            .code(64)
            .says(&format!("'{version}' may be any of these migrations: {fitting};"))
            .says("give the file name of the one you mean");
        assert_eq!(database.dump(), before, "{words:?}");
    }
}

#[test]
fn a_version_that_fits_two_migrations_is_rejected_with_both() {
    let place = directory(&SEEDS);
    let database = Server::shared().database();
    is_ambiguous(&database, place.path(), "seed", "001_seed, 003_seed");

    migrate(directory(&SEEDS[..2]).path()).database(database.url()).run().code(0);
    is_ambiguous(&database, place.path(), "seed", "001_seed, 003_seed");

    migrate(place.path()).database(database.url()).run().code(0);
    is_ambiguous(&database, place.path(), "seed", "001_seed, 003_seed");
    run(&database, place.path(), &["rollback", "--yes", "--to", "001_seed"]).code(0);
    assert_eq!(recorded(&database), "1");
    run(&database, place.path(), &["baseline", "003_seed"]).code(0);
    assert_eq!(recorded(&database), "1 2 3");
}

#[test]
fn a_migration_on_disk_and_a_recorded_one_are_two() {
    let database = Server::shared().database();
    migrate(directory(&SEEDS).path()).database(database.url()).run().code(0);
    fail(&database, 3);
    let before = database.dump();
    // Its file is gone, and another migration has its name.
    let place = directory(&SEEDS[..4]);
    for how in ["--applied", "--rolled-back"] {
        run(&database, place.path(), &["resolve", how, "seed"])
            .code(64)
            .says("'seed' may be any of these migrations: 001_seed, 3_seed;");
        assert_eq!(database.dump(), before, "{how}");
    }
    run(&database, place.path(), &["resolve", "--rolled-back", "3_seed"])
        .code(0)
        .says("migration 3_seed is pending again");
    assert_eq!(recorded(&database), "1 2");
}

#[test]
fn a_file_name_wins_over_the_name_of_another_migration() {
    let place = directory(&[
        ("001_seed.up.sql", "CREATE TABLE a ()"),
        ("001_seed.down.sql", "DROP TABLE a"),
        ("002_001_seed.up.sql", "CREATE TABLE b ()"),
        ("002_001_seed.down.sql", "DROP TABLE b"),
    ]);
    for version in ["001_seed", "001_seed.up.sql"] {
        let database = Server::shared().database();
        let run = |words: &[&str]| run(&database, place.path(), words).code(0);
        run(&["resolve", "--applied", version]).says("migration 001_seed recorded as applied");
        assert_eq!(recorded(&database), "1", "{version}");
        database.psql("CREATE TABLE a ()");

        migrate(place.path()).database(database.url()).run().code(0);
        run(&["rollback", "--yes", "--to", version]);
        assert_eq!(recorded(&database), "1", "{version}");

        migrate(place.path()).database(database.url()).run().code(0);
        fail(&database, 1);
        run(&["resolve", "--rolled-back", version]).says("migration 001_seed is pending again");
        assert_eq!(recorded(&database), "2", "{version}");

        let other = Server::shared().database();
        let baseline = premain(["baseline", version, "--migrations"]).with(place.path());
        baseline.database(other.url()).run().code(0).says("1 of 2 recorded");
    }
}

#[test]
fn a_name_that_looks_like_a_number_or_like_none_is_two_migrations() {
    let place = directory(&[
        ("001_2.up.sql", "CREATE TABLE a ()"),
        ("001_2.down.sql", "DROP TABLE a"),
        ("002_none.up.sql", "CREATE TABLE b ()"),
        ("002_none.down.sql", "DROP TABLE b"),
    ]);
    let database = Server::shared().database();
    migrate(place.path()).database(database.url()).run().code(0);
    is_ambiguous(&database, place.path(), "2", "001_2, 002_none");
    for words in [&["baseline", "none"][..], &["rollback", "--yes", "--to", "none"]] {
        run(&database, place.path(), words)
            .code(64)
            .says("'none' may be any of these migrations: none at all, 002_none;");
    }
    run(&database, place.path(), &["rollback", "--yes", "--to", "001_2"]).code(0);
    assert_eq!(recorded(&database), "1");

    // A directory may be called what another one's file would be called.
    let place = directory(&[("1_a/migration.sql", ""), ("1_a.sql/migration.sql", "")]);
    for (version, count) in [("1_a", 1), ("1_a.sql", 2)] {
        let database = Server::shared().database();
        run(&database, place.path(), &["baseline", version])
            .code(0)
            .says(&format!("{count} of 2 recorded"));
    }
}

#[test]
fn of_two_migrations_with_the_same_time_the_named_one_is_recorded() {
    let journal = r#"{"entries": [{"when": 1, "tag": "0_a"}, {"when": 1, "tag": "1_b"}]}"#;
    let place = directory(&[("meta/_journal.json", journal), ("0_a.sql", "a"), ("1_b.sql", "b")]);
    let database = Server::shared().database();
    run(&database, place.path(), &["resolve", "--applied", "1"]).code(64).says("0_a, 1_b;");
    run(&database, place.path(), &["baseline"]).code(0);
    database.psql("DELETE FROM drizzle.__drizzle_migrations");
    run(&database, place.path(), &["baseline", "0_a"]).code(65).says("then never run: 1_b;");
}
