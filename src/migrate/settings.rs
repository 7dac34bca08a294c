//! What the user can say about migrations.

use std::path::PathBuf;
use std::time::Duration;

use super::formats::Format;

pub(crate) use super::drift::{OnDrift, Policy};
pub(crate) use super::formats::HistoryTableName;

/// Where migrations come from and how they are applied.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `--migrations`
    pub(crate) source: SourceChoice,
    /// `--format`, if it was given.
    pub(crate) format: Option<Format>,
    /// `--history-table`, if it was given.
    pub(crate) history_table: Option<HistoryTableName>,
    /// How long to wait for the migration lock; `None` means for ever.
    pub(crate) lock_timeout: Option<Duration>,
    /// How long a statement may queue for a table lock; `None` means for ever.
    pub(crate) ddl_lock_timeout: Option<Duration>,
    /// How often a migration that exceeded `ddl_lock_timeout` is retried.
    pub(crate) ddl_retries: u32,
    /// What to do about drift, if the user said so.
    pub(crate) on_drift: OnDrift,
}

/// Where to look for migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceChoice {
    /// The usual directories, else what is embedded, else nothing.
    Auto,
    /// What the binary carries.
    Embedded,
    /// Nothing is migrated.
    None,
    /// This directory.
    Directory(PathBuf),
}

/// What a person says about a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// All of it is in the database.
    Applied(String),
    /// Nothing of it is in the database.
    RolledBack(String),
}
