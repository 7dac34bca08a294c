//! [goose](https://github.com/pressly/goose): `00001_create_users.sql` with `-- +goose Up`.

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

pub(super) struct Goose;

const FACTS: Facts = Facts {
    name: "goose",
    tool: "goose",
    own_table: ("goose_db_version", ""),
    origin: "[goose](https://github.com/pressly/goose), its SQL files",
    migration: "`00001_create_users.sql` with `-- +goose Up`",
    table: "`goose_db_version`",
    known_by: KnownBy::Markers(&["+goose"]),
    // goose rejects a file that is older than the newest applied one, and ignores rows without a file.
    rules: Rules {
        edited: Policy::Warn,
        missing: Policy::Warn,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    },
    exception: "",
};

impl Tool for Goose {
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
        Box::new(history::GooseDbVersion::new(name))
    }
}
