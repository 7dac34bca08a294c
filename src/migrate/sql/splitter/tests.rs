//! Statements as psql splits them, and their kinds.

use proptest::prelude::*;

use super::*;

fn texts(sql: &str) -> Vec<&str> {
    statements(sql).map(|statement| &sql[statement.range]).collect()
}

fn end_their_transaction(sql: &str) -> bool {
    statements(sql).any(|statement| matches!(statement.kind, Kind::End(_)))
}

fn unrunnable(sql: &str) -> Option<(usize, String)> {
    let mut splitter = Splitter::default();
    while splitter.next(sql, true).is_some() {}
    splitter.unrunnable
}

#[test]
fn semicolons_end_statements_unless_they_are_hidden() {
    for (sql, expected) in [
        (
            "SELECT 1; insert into t values (';'); -- a; b\nDELETE FROM t",
            &["SELECT 1", "insert into t values (';')", "DELETE FROM t"][..],
        ),
        ("/* a; /* b; */ c; */ COMMIT;;", &["COMMIT"]),
        (
            "SELECT 'it''s; fine', \"odd;\"\"name\"; END",
            &["SELECT 'it''s; fine', \"odd;\"\"name\"", "END"],
        ),
        ("SELECT E'a\\';'; SELECT 'b\\'; COMMIT", &["SELECT E'a\\';'", "SELECT 'b\\'", "COMMIT"]),
        ("SELECT e'a' \n '\\';'; END", &["SELECT e'a' \n '\\';'", "END"]),
        (
            "DO $$ BEGIN COMMIT; END $$; DO $a$ $b$; $a$; SELECT $1; SELECT 1$; END",
            &["DO $$ BEGIN COMMIT; END $$", "DO $a$ $b$; $a$", "SELECT $1", "SELECT 1$", "END"],
        ),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); END",
            &["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "END"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; COMMIT",
            &[
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END",
                "COMMIT",
            ],
        ),
        ("  -- nothing", &[]),
        ("SELECT größe; COMMIT -- x", &["SELECT größe", "COMMIT -- x"]),
    ] {
        assert_eq!(texts(sql), expected, "{sql}");
    }
}

#[test]
fn statements_that_end_a_transaction_are_recognised() {
    for sql in [
        "COMMIT;",
        "select 1; end",
        "ROLLBACK",
        "-- x\nAbort;",
        "PREPARE TRANSACTION 'x'",
        "commit and chain",
    ] {
        assert!(end_their_transaction(sql), "{sql}");
    }
    for sql in [
        "SELECT 'COMMIT;'",
        "ROLLBACK TO s",
        "ROLLBACK WORK TO SAVEPOINT s",
        "SAVEPOINT s",
        "PREPARE p AS SELECT 1",
        "COMMIT PREPARED 'x'",
        "",
    ] {
        assert!(!end_their_transaction(sql), "{sql}");
    }
}

#[test]
fn statements_that_forbid_a_transaction_are_recognised() {
    let kind = |sql| statements(sql).next().unwrap().kind;
    for sql in FORBID_TRANSACTION {
        let expected = sql.to_uppercase().contains("CONCURRENTLY");
        let expected = if expected { Kind::Concurrent } else { Kind::NoTransaction };
        assert_eq!(kind(sql), expected, "{sql}");
    }
    for sql in [
        "CREATE INDEX concurrently_built ON t (a)",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "REINDEX (CONCURRENTLY off, VERBOSE) TABLE t",
        "CLUSTER \"t\"",
        "CLUSTER VERBOSE t USING i",
        "ALTER TABLE p DETACH PARTITION q",
        "ALTER TYPE mood ADD VALUE 'x'",
        "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)",
        "ALTER DATABASE d SET work_mem = 1",
    ] {
        assert_eq!(kind(sql), Kind::Ordinary, "{sql}");
    }
}

/// `tests/migrate/no_transaction.rs` asks a server about these.
const FORBID_TRANSACTION: [&str; 21] = [
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "create unique index /* , */ concurrently if not exists i on t (a)",
    "DROP INDEX CONCURRENTLY i",
    "REINDEX TABLE CONCURRENTLY t",
    "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
    "REINDEX SCHEMA public",
    "ALTER TABLE IF EXISTS ONLY \"a b\".c DETACH PARTITION d.e CONCURRENTLY",
    "VACUUM",
    "VACUUM (ANALYZE) t",
    "CLUSTER",
    "CLUSTER (VERBOSE)",
    "ALTER SYSTEM SET work_mem = '8MB'",
    "CREATE DATABASE d",
    "DROP DATABASE IF EXISTS d",
    "CREATE TABLESPACE s LOCATION '/s'",
    "DROP TABLESPACE s",
    "ALTER DATABASE \"d\" SET TABLESPACE s",
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
    "DROP SUBSCRIPTION s",
    "DISCARD ALL",
    "ROLLBACK PREPARED 'x'",
];

#[test]
fn what_only_psql_can_run_is_an_error() {
    for (sql, offset, why) in [
        ("SELECT 1;\n\\connect other\n", 10, "\\connect is a command"),
        ("SELECT 1 \\gset\n", 9, "\\gset is"),
        ("-- \\x\nCOPY t (a) FROM stdin;\n1\n\\N\n\\.\n", 6, "COPY from stdin"),
        ("COPY (SELECT a FROM t) TO STDOUT", 0, "COPY from stdin or to stdout"),
    ] {
        let (found, text) = unrunnable(sql).unwrap();
        assert_eq!(found, offset, "{sql}");
        assert!(text.starts_with(why), "{text}");
    }
    for sql in [
        "SELECT E'\\n', '\\', $$\\d$$, \"\\\" -- \\x",
        "COPY t FROM '/tmp/stdin'",
        "COPY (SELECT a FROM stdin) TO '/x'",
        "INSERT INTO t SELECT * FROM stdin",
    ] {
        assert_eq!(unrunnable(sql), None, "{sql}");
    }
}

const ODD: &str =
    "([-/*'\"$;()aEe\\\\\n é]|BEGIN|END|CREATE FUNCTION|\\$a\\$|E'|COPY t FROM stdin;){0,40}";

proptest! {
    #[test]
    fn no_text_makes_the_splitter_panic(sql in ODD) {
        for text in texts(&sql) {
            prop_assert!(!text.is_empty());
        }
        unrunnable(&sql);
    }

    #[test]
    fn the_chunks_of_a_text_make_no_difference(sql in ODD, cuts in prop::collection::vec(0..200_usize, 0..6)) {
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| sql.is_char_boundary(*cut) && *cut < sql.len()).collect();
        cuts.sort_unstable();
        cuts.push(sql.len());
        let (mut splitter, mut found, mut dropped) = (Splitter::default(), Vec::new(), 0);
        for cut in cuts {
            while let Some(Statement { range, kind }) = splitter.next(&sql[dropped..cut], cut == sql.len()) {
                found.push(Statement { range: range.start + dropped..range.end + dropped, kind });
            }
            let needed = splitter.needed_from();
            splitter.drop_text(needed);
            dropped += needed;
        }
        prop_assert_eq!(found, statements(&sql).collect::<Vec<_>>());
    }
}
