//! A door for the fuzzers in `fuzz/`, which see this crate from outside, as everybody does. What is
//! behind it is nobody else's business: it is there under `--cfg fuzzing` alone, which only their
//! builds set.

use std::ops::Range;

use super::formats::Journal;
use super::sql::splitter::{self, Splitter, Statement};

/// The entries of a Drizzle journal: `when` and `tag`, in its order.
///
/// # Errors
/// Why it is none for PostgreSQL.
pub fn journal(text: &str) -> Result<Vec<(i64, String)>, String> {
    Ok(Journal::parse(text)?.entries.into_iter().map(|entry| (entry.when, entry.tag)).collect())
}

/// Where each statement of `sql` stands, and what it means for transactions.
pub fn statements(sql: &str) -> Vec<(Range<usize>, String)> {
    splitter::statements(sql).map(shown).collect()
}

/// The same, where `sql` comes in two pieces.
pub fn statements_of_pieces(sql: &str, cut: usize) -> Vec<(Range<usize>, String)> {
    let mut splitter = Splitter::default();
    let mut found: Vec<_> =
        std::iter::from_fn(|| splitter.next(&sql[..cut], false)).map(shown).collect();
    let gone = splitter.needed();
    splitter.forget(gone);
    let rest = std::iter::from_fn(|| splitter.next(&sql[gone..], true));
    found.extend(rest.map(shown).map(|(range, kind)| (range.start + gone..range.end + gone, kind)));
    found
}

/// Where the first thing stands that only psql can do.
pub fn unrunnable(sql: &str) -> Option<usize> {
    let mut splitter = Splitter::default();
    while splitter.next(sql, true).is_some() {}
    splitter.unrunnable.map(|(at, _)| at)
}

fn shown(Statement { range, kind }: Statement) -> (Range<usize>, String) {
    (range, format!("{kind:?}"))
}
