//! A large file is applied without being in memory as a whole, in premain or on the server.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::postgres::{Database, Server};
use crate::support::premain::migrate;
use crate::support::{directory, wait_for};

/// From 16 MiB on a file is large.
const SIZE: usize = 17 << 20;

/// A file of many ordinary statements, and how many rows they make.
fn ordinary(end: &str) -> (String, usize) {
    let mut sql = "\u{feff}-- größer\r\nCREATE TABLE t (a int, b int);\r\n".to_owned();
    let mut rows = 0;
    while sql.len() < SIZE {
        let row = "'größe; it''s', '🦀'".repeat(40);
        let _ = write!(sql, "INSERT INTO t VALUES ({rows}, length(concat({row})));\r\n");
        rows += 1;
    }
    sql.push_str(end);
    (sql, rows)
}

fn place(name: &str, sql: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, sql).unwrap();
    place
}

/// The most memory that a process has had, in kB.
fn most_memory(pid: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn count(database: &Database<'_>) -> usize {
    database.psql("SELECT count(*) FROM t").parse().unwrap()
}

#[test]
fn a_large_file_is_never_held_in_memory_as_a_whole() {
    let database = Server::shared().database();
    let (sql, rows) = ordinary("SELECT pg_advisory_lock(7); -- the end");
    let place = place("V1__large.sql", &sql);
    let mut gate = database.open("SELECT pg_advisory_lock(7);");
    let running = migrate(place.path()).database(database.url()).start();
    let backend = wait_for("all of it is there", || {
        let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event = 'advisory'";
        database.psql(waiting).parse().ok()
    });
    let (ours, theirs) = (most_memory(running.pid()).unwrap(), most_memory(backend).unwrap());
    gate.send("SELECT pg_advisory_unlock(7);");
    running.end().code(0);
    assert_eq!(count(&database), rows);
    println!("premain {ours} kB, the server {theirs} kB");
    assert!(ours < 64 << 10, "premain had {ours} kB");
    // Its shared buffers, of which a backend counts what it touched, are the most of it.
    assert!(theirs < 256 << 10, "the server had {theirs} kB");
    migrate(place.path()).database(database.url()).run().code(0).says("none pending");
    let refinery = siphash(place.path());
    assert_eq!(database.psql("SELECT checksum FROM refinery_schema_history"), refinery);
}

/// What refinery itself makes of the directory's file.
fn siphash(directory: &Path) -> String {
    let sql = fs::read_to_string(directory.join("V1__large.sql")).unwrap();
    refinery::Migration::unapplied("V1__large", &sql).unwrap().checksum().to_string()
}

#[test]
fn an_error_in_a_large_file_has_a_line_and_nothing_is_kept() {
    let database = Server::shared().database();
    let (sql, rows) = ordinary("  SELECT 'ü', nme;\r\nSELECT 2;");
    let place = place("1_large.sql", &sql);
    migrate(place.path())
        .database(database.url())
        .run()
        .code(76)
        .says(&format!("1_large.sql:{}:15: column \"nme\" does not exist", rows + 3))
        .says(&format!("{} |   SELECT 'ü', nme;", rows + 3))
        .says("nothing of migration 1_large was kept");
    assert!(!database.has_table("t"));
    let unix = sql.replace("SELECT 'ü', nme", "SELECT 1").replace("\r\n", "\n");
    fs::write(place.path().join("1_large.sql"), &unix).unwrap();
    let run = || migrate(place.path()).database(database.url()).run();
    run().code(0);
    // Other line ends are no edit, and all else is.
    fs::write(place.path().join("1_large.sql"), unix.replace('\n', "\r\n")).unwrap();
    run().code(0).says("none pending");
    fs::write(place.path().join("1_large.sql"), unix + " ").unwrap();
    run().code(65).says("was edited");
}

#[test]
fn a_large_file_that_changes_meanwhile_is_not_applied() {
    let database = Server::shared().database();
    database.psql("CREATE SCHEMA gate; CREATE TABLE gate.t ()");
    let (sql, _) = ordinary("SELECT 1;");
    let sql = sql.replacen("CREATE TABLE t", "SELECT * FROM gate.t; CREATE TABLE t", 1);
    let place = place("1_large.sql", &sql);
    let mut gate = database.open("BEGIN; LOCK TABLE gate.t;");
    let running = migrate(place.path()).database(database.url()).start();
    wait_for("it waits at its first statement", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock'";
        (database.psql(waiting) == "1").then_some(())
    });
    let path = place.path().join("1_large.sql");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    bytes[last] = b'7';
    fs::write(&path, bytes).unwrap();
    gate.send("COMMIT;");
    running.end().code(66).says("it was written to while it was applied");
    assert!(!database.has_table("t"));
}

#[test]
fn breakpoints_and_errors_are_found_in_large_files() {
    let database = Server::shared().database();
    let (sql, rows) = ordinary("");
    let sql = sql.trim_start_matches('\u{feff}').replace(";\r\n", "--> statement-breakpoint\n");
    let large = place("20240101120000_large/migration.sql", &sql);
    let run = |directory: &Path| {
        let premain = crate::support::premain::premain(["--format", "drizzle1", "--migrations"]);
        premain.with(directory).words(["migrate"]).database(database.url()).run()
    };
    run(large.path()).code(0);
    assert_eq!(count(&database), rows);
    for (bad, text) in [
        ("SELECT 1;\n\\copy t from x\n", ":2:1: \\copy is a command of psql's"),
        ("SELECT 1;\n'\0'", "line 2 contains a NUL byte"),
    ] {
        let padding = format!("/*{}*/", "x".repeat(SIZE));
        let place = place("20240101120001_bad/migration.sql", &format!("{bad}{padding}"));
        run(place.path()).code(65).says(text);
    }
    let place = place("20240101120001_bad/migration.sql", &"\n".repeat(SIZE));
    let path = place.path().join("20240101120001_bad/migration.sql");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"SELECT 'gr\xfc'");
    fs::write(&path, bytes).unwrap();
    run(place.path()).code(65).says(&format!("line {} is not UTF-8", SIZE + 1));
}

#[test]
fn rows_and_notices_of_a_migration_may_be_of_any_size() {
    let place = directory(&[(
        "001_large.sql",
        "SELECT repeat('x', 20000000); DO $$ BEGIN RAISE NOTICE '%', repeat('x', 20000000); END $$; \
         SELECT repeat('x', 100) FROM generate_series(1, 300000); CREATE TABLE t ()",
    )]);
    let database = Server::shared().database();
    let ended = migrate(place.path()).database(database.url()).run().code(0);
    ended.says("migrations 1 applied").says_nothing_of("xxxxx");
}
