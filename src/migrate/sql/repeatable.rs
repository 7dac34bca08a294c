//! Which statements may run again outside of a transaction although an earlier run of them may have finished, or stopped halfway.

use super::splitter::{Token, tokens};

/// When a statement that runs outside of a transaction may run again without anyone being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whatever became of it.
    Always,
    /// After the server said that it failed: it has kept nothing, or something that the next run completes.
    AfterError,
    /// Never: it may have kept a part, or all of it.
    Never,
}

/// When `statement` may run again.
pub(crate) fn repeat(statement: &str) -> Repeat {
    let words: Vec<String> = tokens(statement)
        .filter(|(token, _)| *token != Token::Text)
        .map(|(_, at)| statement[at].to_ascii_uppercase())
        .take(6)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // An invalid index is dropped first, and a valid one is compared (`run/concurrent_index.rs`). That needs its name.
        ["CREATE", "INDEX", "CONCURRENTLY", next, ..] if *next != "ON" => Repeat::Always,
        ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", next, ..] if *next != "ON" => Repeat::Always,
        // What is dropped already is skipped, and an index that is left invalid is dropped.
        ["DROP", "INDEX", "CONCURRENTLY", "IF", "EXISTS", ..] => Repeat::Always,
        // They write what is there once more, in another order or without gaps, or count it.
        ["REINDEX" | "VACUUM" | "ANALYZE" | "ANALYSE" | "CLUSTER" | "CHECKPOINT", ..] => {
            Repeat::Always
        }
        // It runs the view's query once more.
        ["REFRESH", "MATERIALIZED", "VIEW", ..] => Repeat::Always,
        // It writes the same value once more.
        ["ALTER", "SYSTEM", ..] => Repeat::Always,
        // It changes nothing but the session, which is a new one after a lost connection.
        ["DISCARD", ..] => Repeat::Always,

        // The index is still there, valid or not, if it failed.
        ["DROP", "INDEX", "CONCURRENTLY", ..] => Repeat::AfterError,
        // They remove again what they have made, and a database that is half dropped can be dropped.
        ["CREATE" | "DROP", "DATABASE" | "TABLESPACE", ..] => Repeat::AfterError,

        // It commits where its author wants it to, and nothing in the statement shows where.
        ["CALL", ..] => Repeat::Never,
        // Without either word it cannot commit.
        ["DO", ..] => match has_word(statement, "commit") || has_word(statement, "call") {
            true => Repeat::Never,
            false => Repeat::AfterError,
        },
        // The partition is marked as being detached in a transaction of its own.
        ["ALTER", "TABLE", ..] if has_word(statement, "concurrently") => Repeat::Never,
        // The publisher may have a replication slot more, or less.
        ["CREATE" | "DROP" | "ALTER", "SUBSCRIPTION", ..] => Repeat::Never,
        ["COMMIT" | "ROLLBACK", "PREPARED", ..] => Repeat::Never,
        // One statement is one transaction.
        _ => Repeat::AfterError,
    }
}

fn has_word(statement: &str, word: &str) -> bool {
    statement.to_ascii_lowercase().contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_of_the_list_are_repeated() {
        for (sql, expected) in [
            ("create index concurrently i on t (a)", Repeat::Always),
            ("CREATE UNIQUE INDEX /* x */ CONCURRENTLY IF NOT EXISTS i ON t (a)", Repeat::Always),
            ("DROP INDEX CONCURRENTLY IF EXISTS i", Repeat::Always),
            ("VACUUM (ANALYZE) t", Repeat::Always),
            ("REINDEX (VERBOSE) TABLE CONCURRENTLY t", Repeat::Always),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", Repeat::Always),
            // The server chooses another name each time.
            ("CREATE INDEX CONCURRENTLY ON t (a)", Repeat::AfterError),
            ("DROP INDEX CONCURRENTLY i", Repeat::AfterError),
            ("UPDATE t SET a = a + 1", Repeat::AfterError),
            ("DO $$ BEGIN PERFORM 1; END $$", Repeat::AfterError),
            ("DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$", Repeat::Never),
            ("CALL p()", Repeat::Never),
            ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", Repeat::Never),
            ("DROP SUBSCRIPTION s", Repeat::Never),
        ] {
            assert_eq!(repeat(sql), expected, "{sql}");
        }
    }
}
