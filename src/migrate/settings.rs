//! The settings of migrations.

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
    /// How long to wait for the migration lock; `None` means without limit.
    pub(crate) lock_timeout: Option<Duration>,
    /// How long a statement may wait for a table lock; `None` means without limit.
    pub(crate) ddl_lock_timeout: Option<Duration>,
    /// How often a migration that exceeded `ddl_lock_timeout` is retried.
    pub(crate) ddl_retries: u32,
    /// What to do about drift, if it was given.
    pub(crate) on_drift: OnDrift,
}

/// Where to look for migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceChoice {
    /// The usual directories, otherwise what is embedded, otherwise nothing.
    Auto,
    /// What is embedded in the binary.
    Embedded,
    /// Nothing is migrated.
    None,
    /// This directory.
    Directory(PathBuf),
}

/// What the user of `premain resolve` says about a migration. Each holds the VERSION argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// All of it is in the database.
    Applied(String),
    /// Nothing of it is in the database.
    RolledBack(String),
}
