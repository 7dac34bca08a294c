//! [Prisma](https://www.prisma.io): `20240101120000_init/migration.sql`.

mod files;
mod history;

use std::path::Path;

use super::migration_sql;
use super::scaffold::{Existing, NewFiles};
use super::table::HistoryTableName;
use super::tool::{Facts, KnownBy, Tool};
use crate::migrate::drift::{OutOfOrder, Policy, Rules};
use crate::migrate::finding::Finding;
use crate::migrate::history::HistoryTable;
use crate::migrate::migration::Migration;
use crate::migrate::source::error::SourceError;

pub(super) struct Prisma;

const FACTS: Facts = Facts {
    name: "prisma",
    tool: "Prisma",
    own_table: ("_prisma_migrations", ""),
    origin: "[Prisma](https://www.prisma.io)",
    migration: "`20240101120000_init/migration.sql`",
    table: "`_prisma_migrations`, in the URL's `?schema=`",
    known_by: KnownBy::Layout,
    // `prisma migrate deploy` compares nothing but names.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Prisma {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn claims(&self, directory: &Path) -> Result<bool, SourceError> {
        migration_sql::is_prismas(directory)
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
        Box::new(history::PrismaMigrations::new(name))
    }
}
