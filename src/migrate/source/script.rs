//! One SQL file, and which stretches of it run.

use std::ops::Range;
use std::path::PathBuf;

/// A way up, or a way down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where it stands, for messages.
    pub file: PathBuf,
    /// Its text, as it is on the disk: history tables keep checksums of that.
    pub sql: String,
    /// The stretches of `sql` that run, in bytes and in order. One, unless the format has a marker
    /// between statements; without what another tool's markers set aside, and without a byte order
    /// mark, which the server takes for a syntax error.
    pub parts: Vec<Range<usize>>,
    /// Whether the file may run in a transaction, as far as it says so itself.
    pub transactional: bool,
}

impl Script {
    /// All of the file.
    pub fn whole(file: PathBuf, sql: String) -> Script {
        let everything = text_begins(&sql)..sql.len();
        Script { file, sql, parts: vec![everything], transactional: true }
    }

    /// What stands between `marker`s.
    pub fn split(file: PathBuf, sql: String, marker: &str) -> Script {
        let mut start = text_begins(&sql);
        let mut parts = Vec::new();
        while let Some(length) = sql[start..].find(marker) {
            parts.push(start..start + length);
            start += length + marker.len();
        }
        parts.push(start..sql.len());
        Script { file, sql, parts, transactional: true }
    }

    /// The text of each part.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &self.sql[part.clone()])
    }
}

/// Behind the byte order mark that editors on Windows begin a file with.
pub(super) fn text_begins(sql: &str) -> usize {
    if sql.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}
