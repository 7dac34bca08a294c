//! `premain new NAME`: the next file, as the tool of the directory writes it.

use std::fs;
use std::path::Path;

use crate::support::postgres::Server;
use crate::support::premain::{Ended, migrate, premain};
use crate::support::programs::copy;
use crate::support::{directory, node, tools};

fn new(place: &Path, name: &str, words: &[&str]) -> Ended {
    premain(["new", name]).words(words).within(place).run()
}

/// What `premain new` printed, in a directory with these files.
fn named(files: &[(&str, &str)], name: &str) -> String {
    let place = directory(files);
    new(place.path(), name, &["--migrations", "."]).code(0).output
}

#[test]
fn names_continue_the_layout_of_the_directory() {
    for (files, expected) in [
        (&[("001_a.sql", "")][..], "./002_add_orders.sql\n"),
        (&[("0009-a.sql", "")], "./0010-add-orders.sql\n"),
        (
            &[("1_a.up.sql", ""), ("1_a.down.sql", "")],
            "./2_add_orders.up.sql\n./2_add_orders.down.sql\n",
        ),
        (&[("V1__a.sql", ""), ("deep/V2__b.sql", "")], "./deep/V3__add_orders.sql\n"),
        (&[("99991231235958_a.sql", "")], "./99991231235959_add_orders.sql\n"),
        (
            &[
                ("migration_lock.toml", "provider = \"postgresql\""),
                ("99991231235958_a/migration.sql", ""),
            ],
            "./99991231235959_add_orders/migration.sql\n",
        ),
    ] {
        assert_eq!(named(files, "Add orders!"), expected);
    }
    let output = named(&[("20240101120000_a.sql", "")], "x");
    assert!(
        output.starts_with("./20") && output.ends_with("_x.sql\n") && output.len() == 23,
        "{output}"
    );
}

#[test]
fn a_new_directory_begins_with_001_unless_a_format_is_named() {
    let place = directory(&[]);
    assert_eq!(new(place.path(), "init", &[]).code(0).output, "./migrations/001_init.sql\n");
    assert_eq!(new(place.path(), "next", &[]).code(0).output, "./migrations/002_next.sql\n");
    for (format, expected) in [
        ("refinery", "db/V1__init.sql\n"),
        ("drizzle", "db/0000_init.sql\ndb/meta/_journal.json\n"),
    ] {
        let place = directory(&[]);
        let output = new(place.path(), "init", &["--migrations", "db", "--format", format]).output;
        assert_eq!(output, expected);
    }
}

#[test]
fn files_are_never_overwritten_or_written_elsewhere() {
    let place = directory(&[("V1__a.sql", ""), ("V2__x.sql", "")]);
    let words = ["--migrations", "."];
    new(place.path(), "../../etc/passwd", &words).code(0);
    assert!(place.path().join("V3__etc_passwd.sql").is_file());
    new(place.path(), "/", &words).code(64).says("'/' cannot name a migration");
    new(place.path(), "x", &["--migrations", "embedded"]).code(64).says("--migrations");
    premain(["new"]).run().code(64).says("premain new NAME");
}

#[test]
fn drizzle_applies_the_new_migration() {
    for (package, fixture) in [("drizzle-orm", "drizzle"), ("drizzle-orm-1", "drizzle1")] {
        let place = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
        copy(&source.join("migrations"), &place.path().join("drizzle"));
        let output = new(place.path(), "more", &[]).code(0).output;
        let file = place.path().join(output.lines().next().unwrap());
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "-- Custom SQL migration file, put your code below! --"
        );
        fs::write(&file, "CREATE TABLE more ();").unwrap();
        let (ours, theirs) = (Server::shared().database(), Server::shared().database());
        node::drizzle(package, &theirs, &place.path().join("drizzle"), None).unwrap();
        migrate(&place.path().join("drizzle")).database(ours.url()).run().code(0);
        assert!(ours.has_table("more") && theirs.has_table("more"));
        let rows = "SELECT hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id";
        assert_eq!(ours.psql(rows), theirs.psql(rows));
    }
}

#[test]
fn prisma_applies_the_new_migration() {
    let place = directory(&[]);
    let words = ["--migrations", "prisma/migrations", "--format", "prisma"];
    let output = new(place.path(), "init", &words).code(0).output;
    assert!(output.ends_with("prisma/migrations/migration_lock.toml\n"), "{output}");
    let database = Server::shared().database();
    let directory = place.path().join("prisma/migrations");
    let applied = node::prisma("apply", &database, &directory, "").unwrap();
    assert!(applied.contains("_init"), "{applied}");
    migrate(&directory)
        .database(database.url())
        .run()
        .code(0)
        .says("none pending (1 applied before)");
}

/// The file names without the time that they begin with, and what the files hold.
fn written(place: &Path, format: &str, files: &[(&str, &str)]) -> Vec<(String, String)> {
    let db = place.join("db");
    fs::create_dir_all(&db).unwrap();
    for (name, sql) in files {
        fs::write(db.join(name), sql).unwrap();
    }
    let words = ["--migrations", "db", "--format", format];
    let output = new(place, "Add orders", &words).code(0).output;
    let file = |line: &str| {
        let name = line.strip_prefix("db/").unwrap();
        let digits = name.find('_').unwrap();
        let shown = if digits == 14 { &name[digits..] } else { name };
        (shown.to_owned(), fs::read_to_string(place.join(line)).unwrap())
    };
    output.lines().map(file).collect()
}

/// As `sqlx migrate add`, `dbmate new`, `migrate create -ext sql` and `goose create … sql`.
#[test]
fn new_files_equal_those_of_each_tool() {
    let goose = "-- +goose Up\n-- +goose StatementBegin\nSELECT 'up SQL query';\n-- +goose StatementEnd\n\n\
                 -- +goose Down\n-- +goose StatementBegin\nSELECT 'down SQL query';\n-- +goose StatementEnd\n";
    let dbmate = "-- migrate:up\n\n\n-- migrate:down\n\n";
    let sqlx = [
        (".up.sql", "-- Add up migration script here\n"),
        (".down.sql", "-- Add down migration script here\n"),
    ];
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Files<'_>, &str, Files<'_>); 8] = [
        ("sqlx", &[], "", &[(".sql", "-- Add migration script here\n")]),
        ("sqlx", &[("0001_a.up.sql", ""), ("0001_a.down.sql", "")], "0002", &sqlx),
        ("dbmate", &[], "", &[(".sql", dbmate)]),
        ("dbmate", &[("007_a.sql", dbmate)], "008", &[(".sql", dbmate)]),
        ("golang-migrate", &[], "", &[(".up.sql", ""), (".down.sql", "")]),
        (
            "golang-migrate",
            &[("000009_a.up.sql", "")],
            "000010",
            &[(".up.sql", ""), (".down.sql", "")],
        ),
        ("goose", &[], "", &[(".sql", goose)]),
        ("goose", &[("00001_a.sql", goose)], "00002", &[(".sql", goose)]),
    ];
    for (format, files, number, expected) in cases {
        let place = directory(&[]);
        let expected = expected
            .iter()
            .map(|(end, text)| (format!("{number}_add_orders{end}"), (*text).to_owned()));
        let written = written(place.path(), format, files);
        assert_eq!(written, expected.collect::<Vec<_>>(), "{format}");
    }
}

#[test]
fn sqlx_and_dbmate_apply_the_new_migration() {
    for format in ["sqlx", "dbmate"] {
        let place = directory(&[]);
        written(place.path(), format, &[]);
        let (database, db) = (Server::shared().database(), place.path().join("db"));
        match format {
            "sqlx" => tools::sqlx(&database, &db, &["run"]).unwrap(),
            _ => tools::dbmate(&database, &db, "migrate").unwrap(),
        };
        migrate(&db)
            .words(["--format", format])
            .database(database.url())
            .run()
            .code(0)
            .says("none pending (1 applied before)");
    }
}
