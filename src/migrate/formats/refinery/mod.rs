//! [refinery](https://github.com/rust-db/refinery): `V1__create_users.sql`, `U7__reseed.sql`, at any depth.

mod files;
mod history;

use std::path::Path;

use super::scaffold::{Existing, NewFiles};
use super::table::HistoryTableName;
use super::tool::{Facts, KnownBy, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;

pub(super) struct Refinery;

const FACTS: Facts = Facts {
    name: "refinery",
    tool: "refinery",
    own_table: ("refinery_schema_history", ""),
    origin: "[refinery](https://github.com/rust-db/refinery)",
    migration: "`V1__create_users.sql`, `U7__reseed.sql`, at any depth",
    table: "`refinery_schema_history`",
    known_by: KnownBy::FileNames,
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "`U7__reseed.sql` may be older than what is applied",
};

impl Tool for Refinery {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn claims(&self, directory: &Path) -> Result<bool, SourceError> {
        files::claims(directory)
    }

    fn read(&self, directory: &Path) -> Result<Vec<Migration>, SourceError> {
        files::read(directory)
    }

    fn scaffold(&self, existing: &Existing<'_>) -> Result<NewFiles, SourceError> {
        files::scaffold(existing)
    }

    fn history_table(&self, name: Option<&HistoryTableName>) -> Box<dyn HistoryTable> {
        Box::new(history::RefinerySchemaHistory::new(name))
    }
}
