//! [Drizzle](https://orm.drizzle.team) before 1.0: `0000_init.sql`, in the order of `meta/_journal.json`.

mod files;
mod history;
pub(super) mod journal;
pub(super) mod snapshot;

pub(super) use files::{BREAKPOINT, CUSTOM};

use std::path::Path;

use super::directory::is_file;
use super::scaffold::{Existing, NewFiles};
use super::table::HistoryTableName;
use super::tool::{Facts, KnownBy, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};
use crate::migrate::finding::Finding;
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;
use journal::Journal;

pub(super) struct Drizzle;

const FACTS: Facts = Facts {
    name: "drizzle",
    tool: "Drizzle",
    own_table: ("__drizzle_migrations", ""),
    origin: "[Drizzle](https://orm.drizzle.team) before 1.0",
    migration: "`0000_init.sql`, in the order of `meta/_journal.json`",
    table: "`drizzle.__drizzle_migrations`",
    known_by: KnownBy::Layout,
    // Drizzle compares nothing but the newest time: it ignores edited, missing and older migrations.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Skip,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Drizzle {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn claims(&self, directory: &Path) -> Result<bool, SourceError> {
        is_file(&Journal::path(directory))
    }

    fn read(&self, directory: &Path) -> Result<Vec<Migration>, SourceError> {
        files::read(directory)
    }

    fn lint(&self, directory: &Path, migrations: &[Migration]) -> Vec<Finding> {
        files::lint(directory, migrations)
    }

    fn scaffold(&self, existing: &Existing<'_>) -> Result<NewFiles, SourceError> {
        files::scaffold(existing)
    }

    fn history_table(&self, name: Option<&HistoryTableName>) -> Box<dyn HistoryTable> {
        Box::new(history::DrizzleMigrations::new(name))
    }
}
