//! [sqlx](https://github.com/launchbadge/sqlx): `1_create_users.sql`, or `.up.sql` and `.down.sql`.

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

pub(super) struct Sqlx;

const FACTS: Facts = Facts {
    name: "sqlx",
    tool: "sqlx",
    own_table: ("_sqlx_migrations", ""),
    origin: "[sqlx](https://github.com/launchbadge/sqlx)",
    migration: "`1_create_users.sql`, or `.up.sql` and `.down.sql`",
    table: "`_sqlx_migrations`",
    known_by: KnownBy::Nothing,
    rules: Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Sqlx {
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
        Box::new(history::SqlxMigrations::new(name))
    }
}
