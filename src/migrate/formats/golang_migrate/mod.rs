//! [golang-migrate](https://github.com/golang-migrate/migrate): `1_create_users.up.sql` and `.down.sql`.

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

pub(super) struct GolangMigrate;

const FACTS: Facts = Facts {
    name: "golang-migrate",
    tool: "golang-migrate",
    own_table: ("schema_migrations", "schema_migrations.dirty"),
    origin: "[golang-migrate](https://github.com/golang-migrate/migrate)",
    migration: "`1_create_users.up.sql` and `.down.sql`",
    table: "`schema_migrations`",
    known_by: KnownBy::Nothing,
    // Every version up to the recorded one counts as applied, so nothing is ever out of order.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "a file that is older than what is applied counts as applied",
};

impl Tool for GolangMigrate {
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
        Box::new(history::SchemaMigrations::new(name))
    }
}
