//! premain's own history table, for directories of plain SQL.

use sha2::Sha256;

use crate::database::Rows;
use crate::migrate::formats::checksum::matches_with_any_line_ends;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{
    History, HistoryTable, Malformed, NativeMarks, Recorded, Stopped, how_to_resolve,
};
use crate::migrate::marks::{Direction, MarksTable};
use crate::migrate::migration::Migration;
use crate::migrate::sql::Text;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::Version;

const APPLIED_BY: &str = concat!("premain ", env!("CARGO_PKG_VERSION"));

/// One row per migration: `sha256` is the digest of the file, as `sha256sum` prints it; `success` is false if a migration without a
/// transaction stopped halfway.
#[derive(Debug)]
pub(super) struct PremainMigrations {
    table: Table,
}

impl PremainMigrations {
    /// The table of that name, or `premain_migrations`, wherever the session creates tables.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        PremainMigrations { table: Table::new(name, None, "premain_migrations") }
    }
}

fn recorded(table: &Table, row: &[Option<String>]) -> Result<Recorded, Malformed> {
    let [Some(version), Some(name), Some(sha256), Some(applied_at), Some(success)] = row else {
        return Err(table.malformed("a row lacks a value; no column may be NULL"));
    };
    Ok(Recorded {
        version: Version::Number(version.parse().map_err(|_| {
            table.malformed(format!("'{version}' is not a version; versions are whole numbers"))
        })?),
        name: name.clone(),
        title: format!("{version}_{name}"),
        checksum: sha256.clone(),
        applied_on: Some(applied_at.clone()),
        failure: (success != "t").then(|| {
            Stopped::up(format!("it was started on {applied_at}; {}", how_to_resolve(version)))
        }),
    })
}

impl HistoryTable for PremainMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        self.table.read("version, name, sha256, applied_at, success", "ORDER BY version")
    }

    fn parse(&self, results: &[Rows], _: &[Migration]) -> Result<History, Malformed> {
        let (table, rows) = self.table.rows(results)?;
        let recorded = rows.iter().map(|row| recorded(&table, row)).collect::<Result<_, _>>()?;
        Ok(History::new(PremainMigrations { table }, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create(
            "(version bigint PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now(), duration interval NOT NULL, \
             applied_by text NOT NULL, success boolean NOT NULL DEFAULT true)",
        )
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.one(&format!(
            "INSERT INTO {} (version, name, sha256, duration, applied_by) VALUES ({}, {}, {}, \
             pg_catalog.clock_timestamp() - pg_catalog.now(), {})",
            self.table.qualified,
            migration.version,
            literal(&migration.name),
            literal(&migration.up.sql.sha256()),
            literal(APPLIED_BY)
        )))
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        let table = &self.table.qualified;
        let delete = format!("DELETE FROM {table} WHERE version = {}", migration.version);
        Ok(self.table.some(&delete))
    }

    fn native_marks(
        &self,
        migration: &Migration,
        direction: Direction,
    ) -> Result<Option<NativeMarks>, Malformed> {
        if direction == Direction::Down {
            return Ok(None);
        }
        let (table, version) = (&self.table.qualified, &migration.version);
        let insert = format!(
            "INSERT INTO {table} (version, name, sha256, duration, applied_by, success) \
             VALUES ({version}, {}, {}, '0', {}, false)",
            literal(&migration.name),
            literal(&migration.up.sql.sha256()),
            literal(APPLIED_BY)
        );
        let update = format!(
            "UPDATE {table} SET success = true, applied_at = pg_catalog.now(), \
             duration = pg_catalog.now() - applied_at WHERE version = {version}"
        );
        let delete = format!("DELETE FROM {table} WHERE version = {version} AND NOT success");
        Ok(Some(NativeMarks {
            start: self.table.one(&insert),
            finish: self.table.one(&update),
            withdraw: self.table.one(&delete),
            fail: None,
        }))
    }

    /// A new name is not an edit.
    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        let sql = &migration.up.sql;
        matches_with_any_line_ends::<Sha256>(sql, &recorded.checksum, Text::sha256)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::migration::Order;
    use crate::migrate::sql::Script;

    proptest! {
        #[test]
        fn what_was_recorded_is_unchanged(number: i64, sql in "\\PC*", success: bool) {
            let table = PremainMigrations::new(None);
            let migration = |sql: &str| Migration {
                version: Version::Number(number),
                name: "x".to_owned(),
                title: "1_x".to_owned(),
                order: Order::Strict,
                up: Script::whole(PathBuf::from("1_x.sql"), sql.to_owned()),
                down: None,
            };
            let success_column = if success { "t" } else { "f" };
            let row = [&number.to_string(), "x", &Text::InMemory(sql.clone()).sha256(), "2026", success_column].map(|text| Some(text.to_owned()));
            let history = table.parse(&[Vec::new(), vec![row.to_vec()]], &[]).unwrap();
            let recorded = &history.recorded[0];
            prop_assert_eq!(recorded.failure.is_none(), success);
            prop_assert_eq!(&recorded.version, &Version::Number(number));
            prop_assert!(table.is_unchanged(&migration(&sql), recorded));
            prop_assert!(!table.is_unchanged(&migration(&(sql + " ")), recorded));
        }
    }
}
