//! premain reads back what it recorded: random names, scripts, line ends and history tables, on a real
//! server, in every format.

use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::layout::{marked, migrations};
use crate::support::postgres::Server;
use crate::support::premain::{migrate, premain};
use crate::support::{PATIENCE, directory};

/// Characters of file names, among them those that SQL, JSON and shells quote.
const TITLE: &str = "[A-Za-z0-9_ .'\"\\\\$;%äß日🦀-]{0,15}[a-z]";

/// A comment and a query, either of which may hold anything.
fn script() -> impl Strategy<Value = String> {
    let line = (any::<bool>(), "\\PC{0,30}").prop_map(|(comment, text)| match comment {
        true => format!("-- {text}"),
        false => format!("SELECT '{}';", text.replace('\'', "''")),
    });
    (prop::collection::vec(line, 0..5), prop::sample::select(vec!["\n", "\r\n"]), any::<bool>())
        .prop_map(|(lines, end, bom)| {
            format!("{}{}", if bom { "\u{feff}" } else { "" }, lines.join(end))
        })
}

/// The files of one migration, the `n`th.
fn file(format: &str, n: usize, title: &str) -> String {
    match format {
        "refinery" => {
            let title: String = title.chars().filter(|c| c.is_alphanumeric()).collect();
            format!("V{n}__{title}.sql")
        }
        "sql" | "sqlx" | "dbmate" | "goose" => format!("{n}_{title}.sql"),
        "golang-migrate" => format!("{n}_{title}.up.sql"),
        "drizzle" => format!("{n:04}_{title}.sql"),
        _ => format!("2024010100000{n}_{title}/migration.sql"),
    }
}

fn finds_again(format: &str) {
    let database = Server::shared().database();
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
    let migrations = prop::collection::vec((TITLE, script()), 1..5);
    let history_table = "[a-zA-Z0-9_ .'\"äß日$;-]{1,12}";
    let run = runner.run(&(migrations, history_table), |(migrations, history_table)| {
        let mut files = vec![("README".to_owned(), String::new())];
        let mut entries = Vec::new();
        for (n, (title, sql)) in migrations.iter().enumerate() {
            let name = file(format, n + 1, title);
            let tag = name.strip_suffix(".sql").unwrap();
            entries.push(serde_json::json!({ "when": n, "tag": tag }));
            // An empty file is what `migrate create` leaves to be filled in.
            let sql = if sql.is_empty() { "--" } else { sql };
            files.push((name, marked(format, sql)));
        }
        if format == "drizzle" {
            let journal = serde_json::json!({ "entries": entries }).to_string();
            files.push(("meta/_journal.json".to_owned(), journal));
        }
        let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
        let directory = directory(&files);
        let table = format!("\"{}\"", history_table.replace('"', "\"\""));
        let run = |command: &[&str]| {
            premain(command.iter().copied())
                .words(["--format", format, "--history-table", &table, "--migrations"])
                .with(directory.path())
                .database(database.url())
                .run()
                .code(0)
                .says_nothing_of("warning")
        };
        run(&["migrate"]).says(&format!("migrations {} applied", migrations.len()));
        run(&["migrate"]).says("none pending");
        run(&["status", "--exit-code"]);
        let schema = if format.starts_with("drizzle") { "drizzle." } else { "" };
        let rows = database.psql(&format!("SELECT count(*) FROM {schema}{table}"));
        let expected = match format {
            "golang-migrate" => 1,
            // The first says version 0.
            "goose" => migrations.len() + 1,
            _ => migrations.len(),
        };
        prop_assert_eq!(rows, expected.to_string());
        database.psql(&format!("DROP TABLE {schema}{table}"));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn history_rows_are_read_back_for_refinery() {
    finds_again("refinery");
}

#[test]
fn history_rows_are_read_back_for_drizzle() {
    finds_again("drizzle");
    finds_again("drizzle1");
}

#[test]
fn history_rows_are_read_back_for_prisma() {
    finds_again("prisma");
}

#[test]
fn history_rows_are_read_back_for_plain_sql() {
    finds_again("sql");
}

#[test]
fn history_rows_are_read_back_for_sqlx_and_dbmate() {
    finds_again("sqlx");
    finds_again("dbmate");
}

#[test]
fn history_rows_are_read_back_for_golang_migrate_and_goose() {
    finds_again("golang-migrate");
    finds_again("goose");
}

#[test]
fn a_history_of_150000_rows_is_read_within_seconds() {
    const ROWS: &str = "generate_series(1000, 150999) n";
    for (format, table, columns, values) in [
        (
            "refinery",
            "refinery_schema_history",
            "version, name, applied_on, checksum",
            "n, 'add_a_column_to_the_table_' || n, applied_on, checksum",
        ),
        (
            "sql",
            "premain_migrations",
            "version, name, sha256, duration, applied_by",
            "n, 'add_a_column_to_the_table_' || n, sha256, duration, applied_by",
        ),
        (
            "prisma",
            "_prisma_migrations",
            "id, checksum, finished_at, migration_name",
            "n, checksum, finished_at, '20260101' || n || '_add_a_column_to_the_table'",
        ),
        (
            "flyway",
            "flyway_schema_history",
            "installed_rank, version, description, type, script, checksum, installed_by, execution_time, success",
            "n, '2.' || n, 'add a column to the table', type, 'V2.' || n || '__add_a_column_to_the_table.sql', checksum, \
             installed_by, 1, true",
        ),
    ] {
        let database = Server::shared().database();
        let run = |count| {
            let place = migrations(format, count, |n| format!("CREATE TABLE t{n} ()"));
            let premain = migrate(place.path()).words(["--format", format]);
            premain.words(["--on-out-of-order", "ignore"]).database(database.url()).run().code(0)
        };
        run(1);
        database.psql(&format!(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM (SELECT * FROM {table} LIMIT 1) row, {ROWS}"
        ));
        let started = Instant::now();
        run(2).says("is ahead of this image").says("and 149980 more").says("migrations 1 applied");
        eprintln!("{format} {:?}", started.elapsed());
        assert!(started.elapsed() < PATIENCE, "{format}: {:?}", started.elapsed());
    }
}
