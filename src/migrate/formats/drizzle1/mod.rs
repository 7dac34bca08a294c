//! [Drizzle](https://orm.drizzle.team) from 1.0 on: `20240101120000_init/migration.sql`.

mod files;
mod history;

use std::path::Path;

use super::migration_sql;
use super::scaffold::{Existing, NewFiles};
use super::table::HistoryTableName;
use super::tool::{Facts, KnownBy, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;

pub(super) struct Drizzle1;

const FACTS: Facts = Facts {
    name: "drizzle1",
    tool: "Drizzle",
    own_table: ("__drizzle_migrations", ""),
    origin: "Drizzle from 1.0 on",
    migration: "`20240101120000_init/migration.sql` with `snapshot.json`",
    table: "the same, with names",
    known_by: KnownBy::Layout,
    // Drizzle compares nothing but names.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Drizzle1 {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn claims(&self, directory: &Path) -> Result<bool, SourceError> {
        migration_sql::is_drizzles(directory)
    }

    fn read(&self, directory: &Path) -> Result<Vec<Migration>, SourceError> {
        files::read(directory)
    }

    fn scaffold(&self, existing: &Existing<'_>) -> Result<NewFiles, SourceError> {
        files::scaffold(existing)
    }

    fn history_table(&self, name: Option<&HistoryTableName>) -> Box<dyn HistoryTable> {
        Box::new(history::DrizzleMigrations::new(name))
    }
}
