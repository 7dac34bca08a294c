//! Plain SQL, which no other tool is known for: `001_create_users.sql`, with premain's own history table.

mod files;
mod history;

pub(super) use files::is_migration;

use std::path::Path;

use super::scaffold::{Existing, NewFiles};
use super::table::HistoryTableName;
use super::tool::{Facts, KnownBy, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;

pub(super) struct Plain;

const FACTS: Facts = Facts {
    name: "sql",
    tool: "premain",
    own_table: ("premain_migrations", ""),
    origin: "none: plain SQL",
    migration: "`001_create_users.sql`, `0002-orders.sql`, `20240101120000_items.up.sql`",
    table: "`premain_migrations`",
    known_by: KnownBy::Numbers,
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Plain {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn read(&self, directory: &Path) -> Result<Vec<Migration>, SourceError> {
        files::read(directory)
    }

    fn scaffold(&self, existing: &Existing<'_>) -> Result<NewFiles, SourceError> {
        files::scaffold(existing)
    }

    fn history_table(&self, name: Option<&HistoryTableName>) -> Box<dyn HistoryTable> {
        Box::new(history::PremainMigrations::new(name))
    }
}
