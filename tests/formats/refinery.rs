//! refinery_cli and premain take turns on one database, and neither notices the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::postgres::{Database, Server};
use crate::support::{output, premain};

/// What refinery_cli 0.10 was given, and what it made of it.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refinery")
}

/// The fixture's files up to a version.
fn up_to(version: i32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture().join("migrations")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let number: i32 = name[1..].split("__").next().unwrap().parse().unwrap();
        if number <= version {
            fs::copy(entry.path(), directory.path().join(name)).unwrap();
        }
    }
    directory
}

/// The tool itself; `Err` is what it printed.
pub fn refinery(database: &Database<'_>, directory: &Path) -> Result<String, String> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/refinery");
    assert!(
        tool.exists(),
        "refinery_cli is missing: cargo install refinery_cli --version 0.10.0 --locked \
         --no-default-features --features postgresql --root target/tools (tests/run does it)"
    );
    let mut command = Command::new(tool);
    command.args(["migrate", "-e", "URL", "-p"]).arg(directory).env("URL", database.url());
    let output = output(&mut command);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn native(database: &Database<'_>, directory: &Path) -> String {
    refinery(database, directory).unwrap()
}

fn migrate(database: &Database<'_>, directory: &Path) -> String {
    premain::migrate(directory).database(database.url()).run().code(0).log
}

/// A dump without the one thing that must differ: when.
fn dump(database: &Database<'_>) -> String {
    let lines = database.dump();
    let lines = lines.lines().map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        match columns.as_slice() {
            [version, name, applied_on, checksum] if is_timestamp(applied_on) => {
                format!("{version}\t{name}\t(when)\t{checksum}")
            }
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `2026-11-20T22:19:08.427544567Z`: RFC 3339 in UTC, as refinery writes it.
fn is_timestamp(text: &str) -> bool {
    text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z')
}

#[test]
fn premain_leaves_the_same_database_as_refinery() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, &fixture().join("migrations"));
    native(&theirs, &fixture().join("migrations"));
    assert_eq!(dump(&ours), dump(&theirs));
}

#[test]
fn history_rows_equal_those_of_the_fixture() {
    let database = Server::shared().database();
    migrate(&database, &fixture().join("migrations"));
    let ours = database
        .psql("SELECT version, name, checksum FROM refinery_schema_history ORDER BY version");
    let native = fs::read_to_string(fixture().join("native-refinery-cli-0.10.0.dump.sql")).unwrap();
    let rows = native.split("COPY public.refinery_schema_history").nth(1).unwrap();
    let rows = rows.lines().skip(1).take_while(|line| *line != "\\.").map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        format!("{}|{}|{}", columns[0], columns[1], columns[3])
    });
    assert_eq!(ours, rows.collect::<Vec<_>>().join("\n"));
}

#[test]
fn premain_continues_where_refinery_stopped() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    let all = fixture().join("migrations");
    native(&shared, up_to(3).path());
    assert!(migrate(&shared, &all).contains("migrations 2 applied"));
    let before = shared.dump();
    assert!(native(&shared, &all).contains("no migrations to apply"));
    assert_eq!(shared.dump(), before);
    native(&alone, &all);
    assert_eq!(dump(&shared), dump(&alone));
}

#[test]
fn refinery_continues_where_premain_stopped() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    let all = fixture().join("migrations");
    migrate(&shared, up_to(3).path());
    native(&shared, &all);
    let before = shared.dump();
    assert!(migrate(&shared, &all).contains("none pending (5 applied before)"));
    assert_eq!(shared.dump(), before);
    native(&alone, &all);
    assert_eq!(dump(&shared), dump(&alone));
}

#[test]
fn a_history_table_with_int8_versions_is_read() {
    let database = Server::shared().database();
    database.psql(
        "CREATE TABLE refinery_schema_history(version int8 PRIMARY KEY, name varchar(255), \
         applied_on varchar(255), checksum varchar(255))",
    );
    let directory =
        crate::support::directory(&[("V20260101120000__t.sql", "CREATE TABLE t (a int)")]);
    migrate(&database, directory.path());
    assert!(migrate(&database, directory.path()).contains("none pending"));
    let row = database.psql("SELECT version, name FROM refinery_schema_history");
    assert_eq!(row, "20260101120000|t");
}

#[test]
fn a_version_too_large_for_the_history_table_is_rejected() {
    let database = Server::shared().database();
    let directory =
        crate::support::directory(&[("V20260101120000__t.sql", "CREATE TABLE t (a int)")]);
    let run = premain::migrate(directory.path()).database(database.url()).run();
    run.code(65).says("int4").says("int8-versions");
    assert!(!database.has_table("t"));
}
