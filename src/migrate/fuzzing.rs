//! What the fuzzers in `fuzz/` call. Exists only under `--cfg fuzzing`, which only their builds set.

#![allow(missing_docs)]

use std::ops::Range;

use super::formats::{HistoryTableName, Journal};
use super::sql::splitter::{self, Splitter, Statement};
use super::version::LocaleName;

/// The entries of a Drizzle journal: `when` and `tag`, in its order.
pub fn journal(text: &str) -> Result<Vec<(i64, String)>, String> {
    Ok(Journal::parse(text)?.entries.into_iter().map(|entry| (entry.when, entry.tag)).collect())
}

/// The range of each statement of `sql`, and its kind.
pub fn statements(sql: &str) -> Vec<(Range<usize>, String)> {
    splitter::statements(sql).map(rendered).collect()
}

/// The same, if `sql` is read in two chunks.
pub fn statements_of_chunks(sql: &str, cut: usize) -> Vec<(Range<usize>, String)> {
    let mut splitter = Splitter::default();
    let mut found: Vec<_> =
        std::iter::from_fn(|| splitter.next(&sql[..cut], false)).map(rendered).collect();
    let dropped = splitter.needed_from();
    splitter.drop_text(dropped);
    let rest = std::iter::from_fn(|| splitter.next(&sql[dropped..], true)).map(rendered);
    found.extend(rest.map(|(range, kind)| (range.start + dropped..range.end + dropped, kind)));
    found
}

/// The offset of the first thing that only psql can run.
pub fn unrunnable(sql: &str) -> Option<usize> {
    let mut splitter = Splitter::default();
    while splitter.next(sql, true).is_some() {}
    splitter.unrunnable.map(|(at, _)| at)
}

/// Compares two names as JavaScript's `localeCompare` does.
pub fn compare_names(one: &str, other: &str) -> std::cmp::Ordering {
    LocaleName(one.to_owned()).cmp(&LocaleName(other.to_owned()))
}

/// The parts of `--history-table`: the schema, if there is one, and the table.
pub fn history_table_name(text: &str) -> Result<Vec<String>, String> {
    let name = HistoryTableName::parse(text)?;
    Ok(name.schema.into_iter().chain([name.table]).collect())
}

fn rendered(Statement { range, kind }: Statement) -> (Range<usize>, String) {
    (range, format!("{kind:?}"))
}
