//! [dbmate](https://github.com/amacneil/dbmate): `20240101120000_create_users.sql` with `-- migrate:up`.

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
use crate::migrate::sql::Text;
use std::io;

pub(super) struct Dbmate;

const FACTS: Facts = Facts {
    name: "dbmate",
    tool: "dbmate",
    own_table: ("schema_migrations", ""),
    origin: "[dbmate](https://github.com/amacneil/dbmate)",
    migration: "`20240101120000_create_users.sql` with `-- migrate:up`",
    table: "`schema_migrations`",
    known_by: KnownBy::Markers(&["migrate:up", "migrate:down"]),
    // dbmate applies every file whose version is not recorded, and checks nothing else.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Apply,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Dbmate {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn claims_file(&self, sql: &Text) -> io::Result<bool> {
        files::claims_file(sql)
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
