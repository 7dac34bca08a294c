//! dbmate's `schema_migrations`, byte for byte.

use super::{Applied, Ledger, Malformed, Names, literal};
use crate::database::Rows;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;
use crate::migrate::{Digits, Key};

/// `(version varchar PRIMARY KEY)`, a row a migration: the digits that its file's name begins with.
#[derive(Debug)]
pub struct Dbmate {
    names: Names,
}

impl Dbmate {
    /// The table of that name, or dbmate's own, wherever the session creates tables.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Dbmate { names: Names::new(name, None, "schema_migrations") }
    }
}

impl Ledger for Dbmate {
    fn table(&self) -> &str {
        &self.names.shown
    }

    /// golang-migrate has a table of the same name, with a column more.
    fn read(&self) -> String {
        format!(
            "{}; SELECT attname FROM pg_catalog.pg_attribute \
             WHERE attrelid = {}::pg_catalog.regclass AND attname = 'dirty' AND NOT attisdropped; \
             SELECT version FROM {} ORDER BY version",
            self.names.locate(),
            literal(&self.names.qualified),
            self.names.qualified
        )
    }

    fn parse(
        &mut self,
        results: &[Rows],
        on_disk: &[Migration],
    ) -> Result<Vec<Applied>, Malformed> {
        let [table, dirty, rows] = results else {
            return Err(self.names.out_of_turn());
        };
        self.names.located(table);
        if !dirty.is_empty() {
            return Err(self.names.malformed(
                "it is golang-migrate's: give --format golang-migrate, or name dbmate's with --history-table"
                    .to_owned(),
            ));
        }
        let applied = rows.iter().flatten().flatten().map(|version| {
            let key = Key::Digits(Digits(version.clone()));
            let file = on_disk.iter().find(|file| file.key == key);
            Applied {
                name: file.map(|file| file.name.clone()).unwrap_or_default(),
                key,
                checksum: String::new(),
                applied_on: None,
                failure: None,
            }
        });
        Ok(applied.collect())
    }

    fn create(&self) -> Vec<String> {
        self.names.create("(version varchar PRIMARY KEY)")
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let version = literal(&migration.key.to_string());
        Ok(format!("INSERT INTO {} (version) VALUES ({version})", self.names.qualified))
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        let version = literal(&migration.key.to_string());
        Ok(format!("DELETE FROM {} WHERE version = {version}", self.names.qualified))
    }

    /// Nothing of the file is recorded.
    fn unchanged(&self, _: &Migration, _: &Applied) -> bool {
        true
    }

    /// dbmate applies every file whose version is not there, and looks at nothing else.
    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Warn,
            missing: Policy::Warn,
            out_of_order: OutOfOrder::Apply,
            ahead: Policy::Warn,
        }
    }
}
