//! `meta/_journal.json`, which names Drizzle's migrations before 1.0 in their order.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The journal, as drizzle-kit writes it. The native migrator reads only `dialect` and each entry's `tag` and
/// `when`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
    pub(crate) entries: Vec<Entry>,
}

/// A migration in the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idx: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Milliseconds since 1970: its key in the history table.
    pub(crate) when: i64,
    /// The name of the file, without `.sql`.
    pub(crate) tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) breakpoints: Option<bool>,
}

impl Journal {
    /// The path of the journal in `directory`.
    pub(crate) fn path(directory: &Path) -> PathBuf {
        directory.join("meta/_journal.json")
    }

    /// A journal without migrations.
    pub(super) fn empty() -> Journal {
        let text = |text: &str| Some(text.to_owned());
        Journal { version: text("7"), dialect: text("postgresql"), entries: Vec::new() }
    }

    /// # Errors
    /// Why it is not a journal for PostgreSQL.
    pub(crate) fn parse(text: &str) -> Result<Journal, String> {
        let journal: Journal = serde_json::from_str(text)
            .map_err(|error| format!("it is not a journal as drizzle-kit writes it: {error}"))?;
        match journal.dialect.as_deref() {
            // "pg" until version 6 of the journal.
            None | Some("postgresql" | "pg") => Ok(journal),
            Some(other) => Err(format!("its migrations are for {other}, not for postgresql")),
        }
    }
}
