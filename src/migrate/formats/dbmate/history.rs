//! dbmate's `schema_migrations`, byte for byte.

use crate::database::Rows;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{History, HistoryTable, Malformed, Recorded};
use crate::migrate::marks::MarksTable;
use crate::migrate::migration::Migration;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::{Digits, Version};

/// `(version varchar PRIMARY KEY)`, one row per migration: the digits that its file name begins with.
#[derive(Debug)]
pub(super) struct SchemaMigrations {
    table: Table,
}

impl SchemaMigrations {
    /// The table of that name, or dbmate's own, wherever the session creates tables.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        SchemaMigrations { table: Table::new(name, None, "schema_migrations") }
    }
}

impl HistoryTable for SchemaMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    /// Also asks for the column `dirty`: golang-migrate's table has the same name.
    fn read(&self) -> String {
        format!(
            "{}; SELECT attname FROM pg_catalog.pg_attribute \
             WHERE attrelid = {}::pg_catalog.regclass AND attname = 'dirty' AND NOT attisdropped; \
             SELECT version FROM {} ORDER BY version",
            self.table.locate(""),
            literal(&self.table.qualified),
            self.table.qualified
        )
    }

    fn parse(&self, results: &[Rows], _: &[Migration]) -> Result<History, Malformed> {
        let [table, dirty, rows] = results else { return Err(self.table.unexpected()) };
        let table = self.table.located(table)?;
        if !dirty.is_empty() {
            return Err(table.malformed(
                "it is golang-migrate's: give --format golang-migrate, or name dbmate's with --history-table",
            ));
        }
        let recorded = rows.iter().flatten().flatten().map(|version| Recorded {
            version: Version::Digits(Digits(version.clone())),
            name: String::new(),
            title: version.clone(),
            checksum: String::new(),
            applied_on: None,
            failure: None,
        });
        let recorded = recorded.collect();
        Ok(History::new(SchemaMigrations { table }, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create("(version varchar PRIMARY KEY)")
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let version = literal(&migration.version.to_string());
        let table = &self.table;
        Ok(table.one(&format!("INSERT INTO {} (version) VALUES ({version})", table.qualified)))
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        let version = literal(&migration.version.to_string());
        let table = &self.table;
        Ok(table.some(&format!("DELETE FROM {} WHERE version = {version}", table.qualified)))
    }

    /// The table has no checksum.
    fn is_unchanged(&self, _: &Migration, _: &Recorded) -> bool {
        true
    }
}
