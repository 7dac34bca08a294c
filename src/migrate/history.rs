//! The history table: what a tool recorded in it, and the interface of one tool's dialect of it.

use std::collections::BTreeMap;
use std::fmt;

use super::marks::{Direction, Mark, MarksTable};
use super::migration::Migration;
use super::sql::quoting::literal;
use super::version::{LocaleName, Version};
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
    /// If it stopped halfway.
    pub(crate) failure: Option<Stopped>,
}

/// A migration that stopped halfway, or is running right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// Which of its scripts.
    pub(crate) direction: Direction,
    /// What is known about that, and what to do.
    pub(crate) why: String,
    /// What the history table has of it.
    pub(super) row: Row,
    /// Whether premain's own table has a mark of it.
    pub(super) has_mark: bool,
}

/// What a history table has of a migration that stopped halfway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// No row.
    Nothing,
    /// A row that says that it stopped.
    Mark,
    /// The record of a migration that is applied.
    Record,
}

impl Stopped {
    /// An up migration that stopped halfway, as the history table itself says.
    pub(super) fn up(why: String) -> Stopped {
        Stopped { direction: Direction::Up, why, row: Row::Mark, has_mark: false }
    }
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
    /// Whether premain's own table of marks is there, and marks none of its migrations.
    pub(super) has_empty_marks_table: bool,
}

impl History {
    /// What was read from `table`.
    pub(super) fn new(table: impl HistoryTable + 'static, recorded: Vec<Recorded>) -> History {
        History { table: Box::new(table), recorded, has_empty_marks_table: false }
    }

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

    /// Adds what premain's own table says about migrations that stopped halfway.
    ///
    /// # Errors
    /// As [`HistoryTable::record`].
    pub(super) fn add_marks(
        &mut self,
        rows: &Rows,
        on_disk: &[Migration],
    ) -> Result<(), Malformed> {
        for mark in rows.iter().filter_map(|row| Mark::parse(row)) {
            let same = |file: &&Migration| file.version.to_string() == mark.version;
            let titled = on_disk.iter().filter(same).find(|file| file.title == mark.title);
            let file = titled.or_else(|| on_disk.iter().find(same));
            let is_same = |row: &&mut Recorded| match file {
                Some(file) => row.version == file.version,
                None => row.version.to_string() == mark.version,
            };
            let mut row = self.recorded.iter_mut().find(is_same);
            let unknown = || Version::Name(LocaleName(mark.version.clone()));
            let without_file = || {
                let version = row.as_ref().map_or_else(unknown, |row| row.version.clone());
                Migration::without_file(version, &mark.title)
            };
            let migration = file.cloned().unwrap_or_else(without_file);
            let is_native = self.table.native_marks(&migration, mark.direction)?.is_some();
            let argument = migration.version_argument();
            let resolve = match mark.direction {
                Direction::Up => how_to_resolve(argument),
                Direction::Down => how_to_resolve_down(argument),
            };
            let stopped = |row| Stopped {
                direction: mark.direction,
                why: format!("it was started on {}; {}\n{resolve}", mark.started_at, mark.kept),
                row,
                has_mark: true,
            };
            match (&mut row, mark.direction) {
                (Some(row), _) if is_native => {
                    row.failure = row.failure.as_ref().map(|_| stopped(Row::Mark));
                }
                (None, _) if is_native => {}
                (Some(row), Direction::Down) => row.failure = Some(stopped(Row::Record)),
                _ => self.recorded.push(Recorded {
                    version: migration.version,
                    name: migration.name,
                    title: migration.title,
                    checksum: String::new(),
                    applied_on: None,
                    failure: Some(stopped(Row::Nothing)),
                }),
            }
        }
        Ok(())
    }
}

/// What to do about an up migration that stopped halfway; `version` is the VERSION argument.
pub(super) fn how_to_resolve(version: impl fmt::Display) -> String {
    format!(
        "check what of it is in the database: if all of it is, run 'premain resolve --applied {version}'; if nothing is, run \
         'premain resolve --rolled-back {version}' to apply it again"
    )
}

/// As [`how_to_resolve`], for a down migration.
pub(super) fn how_to_resolve_down(version: impl fmt::Display) -> String {
    format!(
        "check what of migration {version} is still in the database: if nothing is, run 'premain resolve --rolled-back {version}'; \
         if all of it is, run 'premain resolve --applied {version}', and roll it back again"
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

/// The statements by which a history table itself marks a migration that is not one transaction.
#[derive(Debug)]
pub(crate) struct NativeMarks {
    /// It was started.
    pub(super) start: String,
    /// All of it ran: the mark becomes the record, or both are removed.
    pub(super) finish: String,
    /// Nothing of it was kept: removes the mark.
    pub(super) withdraw: String,
    /// It stopped halfway, for the reason in the setting `premain.failure`.
    pub(super) fail: Option<String>,
}

/// The statements that mark a migration that is not one transaction, from before its first statement to its record.
#[derive(Debug)]
pub(crate) struct Marks {
    table: MarksTable,
    version: String,
    native: Option<NativeMarks>,
    record: String,
    start: String,
}

impl Marks {
    /// The marks of one script of `migration`, which `record` records. `kept` is what may have been kept as long as nothing
    /// else is known.
    ///
    /// # Errors
    /// As [`HistoryTable::record`].
    pub(crate) fn new(
        table: &dyn HistoryTable,
        migration: &Migration,
        direction: Direction,
        record: &str,
        kept: &str,
    ) -> Result<Marks, Malformed> {
        let native = table.native_marks(migration, direction)?;
        let (table, version) = (table.marks_table(), migration.version.to_string());
        let mut start = table.add(&version, &migration.title, direction, kept);
        if let Some(native) = &native {
            start = format!("{start}; {}", native.start);
        }
        Ok(Marks { table, version, native, record: record.to_owned(), start })
    }

    /// It is started.
    pub(crate) fn start(&self) -> &str {
        &self.start
    }

    /// All of it ran: writes the record, and removes the mark.
    pub(crate) fn finish(&self) -> String {
        let record = self.native.as_ref().map_or(&self.record, |native| &native.finish);
        format!("{record}; {}", self.table.remove(&self.version))
    }

    /// Nothing of it was kept: removes the mark.
    pub(crate) fn withdraw(&self) -> String {
        let native = self.native.as_ref().map(|native| format!("{}; ", native.withdraw));
        native.unwrap_or_default() + &self.table.remove(&self.version)
    }

    /// This much of it was kept so far.
    pub(crate) fn note(&self, kept: &str) -> String {
        self.table.note(&self.version, kept)
    }

    /// It stopped halfway, and this was kept.
    pub(crate) fn fail(&self, kept: &str) -> String {
        let native = self.native.as_ref().and_then(|native| native.fail.as_ref());
        let native = native.map(|fail| {
            let kept = literal(kept);
            format!("; SELECT pg_catalog.set_config('premain.failure', {kept}, false); {fail}")
        });
        self.note(kept) + &native.unwrap_or_default()
    }

    /// Premain's own table.
    pub(crate) fn table(&self) -> &MarksTable {
        &self.table
    }
}

/// One tool's dialect of a history table: which SQL reads, creates and writes it. Pure: it never talks to a
/// server.
pub(crate) trait HistoryTable: fmt::Debug {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// premain's own table beside it.
    fn marks_table(&self) -> MarksTable;

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

    /// The marks of `migration` in this table while it runs in that direction; `None` if the table cannot express that. If it
    /// can, only its own mark counts: its tool may have resolved it.
    ///
    /// # Errors
    /// As [`HistoryTable::record`].
    fn native_marks(
        &self,
        _migration: &Migration,
        _direction: Direction,
    ) -> Result<Option<NativeMarks>, Malformed> {
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
