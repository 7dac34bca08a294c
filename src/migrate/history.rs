//! The history table: what a tool recorded in it, and the interface of one tool's dialect of it.

use std::collections::BTreeMap;
use std::fmt;

use super::migration::Migration;
use super::version::Version;
use crate::database::Rows;

/// A migration as its history table records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its key in the table.
    pub(crate) version: Version,
    /// Its name in the table; if the table has no names, the name on disk, if there is one.
    pub(crate) name: String,
    /// What people call it: its file's title if it has a file, otherwise what the file would be called.
    pub(crate) title: String,
    /// The native tool's checksum, as it is in the table.
    pub(crate) checksum: String,
    /// When it was applied, as it is in the table; `None` if the table does not record that.
    pub(crate) applied_on: Option<String>,
    /// If it failed halfway: what the table records about that, and what to do.
    pub(crate) failure: Option<String>,
}

impl fmt::Display for Recorded {
    /// `V3__add_orders`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

/// A history table as it was read, or as it is going to be created.
#[derive(Debug)]
pub(crate) struct History {
    /// The table, which renders new records.
    pub(crate) table: Box<dyn HistoryTable>,
    /// Its rows, in any order.
    pub(crate) recorded: Vec<Recorded>,
}

impl History {
    /// Names each recorded migration after its file, if it has one.
    pub(super) fn name_after_files(&mut self, on_disk: &[Migration]) {
        let files: BTreeMap<_, _> = on_disk.iter().map(|file| (&file.version, file)).collect();
        for row in &mut self.recorded {
            if let Some(file) = files.get(&row.version) {
                row.title.clone_from(&file.title);
                if row.name.is_empty() {
                    row.name.clone_from(&file.name);
                }
            }
        }
    }
}

/// What to do about a migration that stopped halfway; `version` is the VERSION argument.
pub(super) fn how_to_resolve(version: impl fmt::Display) -> String {
    format!(
        "check what of it is in the database: if all of it is, run 'premain resolve --applied {version}'; if nothing is, run \
         'premain resolve --rolled-back {version}' to apply it again"
    )
}

/// A row, or the whole table, is not what the native tool would have written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("history table {table}: {why}")]
pub(crate) struct Malformed {
    /// The history table.
    pub(crate) table: String,
    /// What is wrong, and what to do.
    pub(crate) why: String,
}

/// The statements that record a migration that does not run in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marks {
    /// It was started.
    pub(crate) start: String,
    /// All of it was applied.
    pub(crate) finish: String,
    /// Nothing of it was kept: removes the mark.
    pub(crate) withdraw: String,
    /// It stopped halfway, for the reason in the setting `premain.failure`.
    pub(crate) fail: String,
}

/// One tool's dialect of a history table: which SQL reads, creates and writes it. Pure: it never talks to a
/// server.
pub(crate) trait HistoryTable: fmt::Debug {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// The statements whose results [`HistoryTable::parse`] parses. They fail with 42P01 or 3F000 if the table
    /// does not exist.
    fn read(&self) -> String;

    /// The history in these results. Its table has what was read about the table itself: the schema, and what the columns
    /// can hold.
    ///
    /// # Errors
    /// [`Malformed`] with the row.
    fn parse(&self, results: &[Rows], on_disk: &[Migration]) -> Result<History, Malformed>;

    /// The statements that create the table, and its schema, unless they exist.
    fn create(&self) -> Vec<String>;

    /// The statements that upgrade the table of an older version of the tool, as the tool does. They run once,
    /// before the first migration that is recorded in it.
    fn upgrade(&self) -> &[String] {
        &[]
    }

    /// The statement that records `migration` as applied; it runs in the migration's own transaction.
    ///
    /// # Errors
    /// [`Malformed`] if the table cannot hold it.
    fn record(&self, migration: &Migration) -> Result<String, Malformed>;

    /// The statement that records `migration` as applied although it was not run.
    ///
    /// # Errors
    /// As [`HistoryTable::record`].
    fn baseline(&self, migration: &Migration) -> Result<String, Malformed> {
        self.record(migration)
    }

    /// Whether the record of a migration stands for all older ones, too.
    fn records_only_the_newest(&self) -> bool {
        false
    }

    /// The statement that removes the record of `migration`, as the native tool does after its down migration:
    /// afterwards it is pending again.
    ///
    /// # Errors
    /// [`Malformed`] if the table cannot express that.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed>;

    /// The marks of `migration` while it runs without a transaction; `None` if the table can only record applied migrations.
    ///
    /// # Errors
    /// As [`HistoryTable::record`].
    fn marks(&self, _migration: &Migration) -> Result<Option<Marks>, Malformed> {
        Ok(None)
    }

    /// Whether the migration on disk is still the one that was applied.
    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool;

    /// The advisory locks that the native tool takes itself: SQL expressions of type `bigint`, to be taken in
    /// this order.
    fn native_locks(&self) -> Vec<String> {
        Vec::new()
    }
}
