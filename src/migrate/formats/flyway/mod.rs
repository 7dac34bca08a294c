//! [Flyway](https://github.com/flyway/flyway): `V1_2__create_users.sql`, `R__views.sql`, at any depth.

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

pub(super) struct Flyway;

const FACTS: Facts = Facts {
    name: "flyway",
    tool: "Flyway",
    own_table: ("flyway_schema_history", ""),
    origin: "[Flyway](https://github.com/flyway/flyway)",
    migration: "`V1_2__create_users.sql`, `R__views.sql`, at any depth",
    table: "`flyway_schema_history`",
    known_by: KnownBy::FileNames,
    // As `flyway migrate` validates before it begins.
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "an edited `R__views.sql` is applied again",
};

impl Tool for Flyway {
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
        Box::new(history::FlywaySchemaHistory::new(name))
    }
}
