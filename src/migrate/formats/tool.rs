//! The interface of one migration tool: its directory, its history table, and the facts about it.

use std::io;
use std::path::Path;

use super::scaffold::{Existing, NewFiles};
use super::table::HistoryTableName;
use crate::migrate::drift::Rules;
use crate::migrate::finding::Finding;
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Text;

/// A migration tool. Its directory of migrations and its history table belong together.
pub(crate) trait Tool: Sync {
    /// What help and documentation say about it.
    fn facts(&self) -> &'static Facts;

    /// Whether the names in `directory` can only be this tool's.
    ///
    /// # Errors
    /// [`SourceError`]: the directory cannot be read.
    fn claims(&self, _directory: &Path) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// Whether the content of a numbered SQL file can only be this tool's.
    ///
    /// # Errors
    /// The file can no longer be read.
    fn claims_file(&self, _sql: &Text) -> io::Result<bool> {
        Ok(false)
    }

    /// Every migration in `directory`, which may be none.
    ///
    /// # Errors
    /// [`SourceError`]: a file cannot be read, or the tool itself would reject it.
    fn read(&self, directory: &Path) -> Result<Vec<Migration>, SourceError>;

    /// What is odd about the directory itself, rather than about one script.
    fn lint(&self, _directory: &Path, _migrations: &[Migration]) -> Vec<Finding> {
        Vec::new()
    }

    /// The files of the next migration, named and filled as the tool does.
    ///
    /// # Errors
    /// [`SourceError`]: the existing files cannot be continued.
    fn scaffold(&self, existing: &Existing<'_>) -> Result<NewFiles, SourceError>;

    /// Its history table: the one that the user named, or the tool's own.
    fn history_table(&self, name: Option<&HistoryTableName>) -> Box<dyn HistoryTable>;
}

/// What help and documentation say about a tool.
#[derive(Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the tables of the documentation are made from all of them")
)]
pub(crate) struct Facts {
    /// What `--format` takes: `golang-migrate`.
    pub(crate) name: &'static str,
    /// What people call the tool: `Drizzle`.
    pub(crate) tool: &'static str,
    /// Its history table by default, and a second table or column (`table.column`) that tells it from another tool with
    /// a table of the same name, or nothing.
    pub(crate) own_table: (&'static str, &'static str),
    /// Markdown: the tool, with a link to it, and which of its releases.
    pub(crate) origin: &'static str,
    /// Markdown: what a migration is called, and what else is in its files or beside them.
    pub(crate) migration: &'static str,
    /// Its history table, as Markdown.
    pub(crate) table: &'static str,
    /// What tells its directory from the others.
    pub(crate) known_by: KnownBy,
    /// What it does about drift.
    pub(crate) rules: Rules,
    /// Markdown: an exception to its rules, or nothing.
    pub(crate) exception: &'static str,
}

/// What tells a tool's directory from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// A layout or a file that no other tool has.
    Layout,
    /// The names of its files.
    FileNames,
    /// Comments in its files: what they begin with.
    Markers(&'static [&'static str]),
    /// Numbered files without another tool's markers.
    Numbers,
    /// Nothing: it must be named by `--format`.
    Nothing,
}
