//! The interface of one migration tool: its directory, its history table, and the facts about it.

use std::fmt;
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

/// A migration tool: what help and documentation say about it, and the functions that read and continue its directory and its
/// history table.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the tables of the documentation are made from all of the facts")
)]
pub(crate) struct Tool {
    /// Its name for `--format`: `golang-migrate`.
    pub(crate) name: &'static str,
    /// Its name for people: `Drizzle`.
    pub(crate) title: &'static str,
    /// Its history table by default, and a second table or column (`table.column`) that distinguishes it from another tool
    /// with a table of the same name, or nothing.
    pub(crate) own_table: (&'static str, &'static str),
    /// Markdown: the tool, with a link to it, and which of its releases.
    pub(crate) origin: &'static str,
    /// Markdown: what a migration is called, and what else is in its files or beside them.
    pub(crate) migration: &'static str,
    /// Markdown: its history table.
    pub(crate) table: &'static str,
    pub(crate) known_by: KnownBy,
    /// What it does about drift.
    pub(crate) rules: Rules,
    /// Markdown: an exception to its rules, or nothing.
    pub(crate) exception: &'static str,
    pub(super) layout: Layout,
    /// Why an SQL file that has a migration's name is not read, and what to do.
    pub(super) why_not_read: &'static str,
    /// Whether the names in a directory can only be this tool's.
    pub(super) claims: fn(&Path) -> Result<bool, SourceError>,
    /// Whether the content of a numbered SQL file can only be this tool's.
    pub(super) claims_file: fn(&Text) -> io::Result<bool>,
    /// Reads every migration in a directory, which may be none. What the tool itself would reject is an error.
    pub(super) read: fn(&Path) -> Result<Vec<Migration>, SourceError>,
    /// Finds mistakes in the directory itself, rather than in one script.
    pub(crate) lint: fn(&Path, &[Migration]) -> Vec<Finding>,
    /// What a new migration's file of this name holds until it is filled in.
    pub(crate) template: fn(&str) -> String,
    /// The files of the next migration, named and filled as the tool does.
    pub(crate) scaffold: fn(&Existing<'_>) -> Result<NewFiles, SourceError>,
    /// Its history table: the one that the user named, or the tool's own.
    pub(crate) history_table: fn(Option<&HistoryTableName>) -> Box<dyn HistoryTable>,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Where a tool looks for migrations in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Files in the directory itself.
    Files,
    /// Files at any depth.
    FilesAtAnyDepth,
    /// Directories in the directory, one for each migration.
    Directories,
    /// Files in the directory itself that a journal names. Others may be left over from a merge.
    Journal,
}

/// What distinguishes a tool's directory from the others.
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
