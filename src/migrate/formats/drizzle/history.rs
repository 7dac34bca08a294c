//! Drizzle's `drizzle.__drizzle_migrations` before 1.0, byte for byte.

use crate::database::Rows;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{History, HistoryTable, Malformed, Recorded};
use crate::migrate::marks::MarksTable;
use crate::migrate::migration::Migration;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::Version;

/// `(id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)`: the file's SHA-256 and the journal's
/// `when`. It has neither names nor the time of application.
#[derive(Debug)]
pub(super) struct DrizzleMigrations {
    table: Table,
}

impl DrizzleMigrations {
    /// The table of that name, or Drizzle's own.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        DrizzleMigrations { table: Table::new(name, Some("drizzle"), "__drizzle_migrations") }
    }

    fn recorded(&self, row: &[Option<String>]) -> Result<Recorded, Malformed> {
        let [Some(id), Some(hash), created_at] = row else { return Err(self.table.unexpected()) };
        let when = created_at.as_deref().and_then(|when| when.parse().ok()).ok_or_else(|| {
            self.table.malformed(format!(
                "the row with id {id} has no created_at, so Drizzle would apply every migration again; \
                 set created_at to the journal's 'when', or delete the row"
            ))
        })?;
        Ok(Recorded {
            version: Version::When(when),
            name: format!("with 'when' {when}"),
            title: format!("with 'when' {when}"),
            checksum: hash.clone(),
            applied_on: None,
            failure: None,
        })
    }
}

impl HistoryTable for DrizzleMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        format!("SELECT id, hash, created_at FROM {} ORDER BY id", self.table.qualified)
    }

    fn parse(&self, results: &[Rows], _: &[Migration]) -> Result<History, Malformed> {
        let rows = results.iter().flatten();
        let recorded = rows.map(|row| self.recorded(row)).collect::<Result<_, _>>()?;
        Ok(History::new(DrizzleMigrations { table: self.table.clone() }, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create("(id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)")
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.one(&format!(
            "INSERT INTO {} (hash, created_at) VALUES ({}, {})",
            self.table.qualified,
            literal(&migration.up.sql.sha256()),
            migration.version
        )))
    }

    /// Drizzle has no down migrations; a migration without a row is pending. Two may have the same time.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.some(&format!(
            "DELETE FROM {} WHERE created_at = {} AND hash = {}",
            self.table.qualified,
            migration.version,
            literal(&migration.up.sql.sha256())
        )))
    }

    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        recorded.checksum == migration.up.sql.sha256()
    }
}
