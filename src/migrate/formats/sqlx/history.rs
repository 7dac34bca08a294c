//! sqlx's `_sqlx_migrations`, byte for byte.

use sha2::Sha384;

use crate::database::Rows;
use crate::migrate::formats::checksum::matches_with_any_line_ends;
use crate::migrate::formats::lock_keys;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{
    History, HistoryTable, Malformed, NativeMarks, Recorded, Stopped, how_to_resolve,
};
use crate::migrate::marks::{Direction, MarksTable};
use crate::migrate::migration::Migration;
use crate::migrate::sql::Text;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::Version;

/// One row per migration: `checksum` is the SHA-384 of the file's bytes, `execution_time` is in nanoseconds, or -1
/// if nothing ran.
#[derive(Debug)]
pub(super) struct SqlxMigrations {
    table: Table,
}

impl SqlxMigrations {
    /// The table of that name, or sqlx's own, wherever the session creates tables.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        SqlxMigrations { table: Table::new(name, None, "_sqlx_migrations") }
    }

    fn insert(&self, migration: &Migration, success: bool, execution_time: &str) -> String {
        self.table.one(&format!(
            "INSERT INTO {} (version, description, success, checksum, execution_time) \
             VALUES ({}, {}, {success}, pg_catalog.decode('{}', 'hex'), {execution_time})",
            self.table.qualified,
            migration.version,
            literal(&migration.name),
            sha384(&migration.up.sql)
        ))
    }
}

fn recorded(table: &Table, row: &[Option<String>]) -> Result<Recorded, Malformed> {
    let [Some(version), Some(name), Some(installed_on), Some(success), Some(checksum)] = row else {
        return Err(table.unexpected());
    };
    let failure = (success != "t").then(|| {
        Stopped::up(format!("it was started on {installed_on}; {}", how_to_resolve(version)))
    });
    Ok(Recorded {
        version: Version::Number(version.parse().map_err(|_| {
            table.malformed(format!("'{version}' is not a version; sqlx writes whole numbers"))
        })?),
        name: name.clone(),
        title: format!("{version}_{}", name.replace(' ', "_")),
        checksum: checksum.clone(),
        applied_on: Some(installed_on.clone()),
        failure,
    })
}

impl HistoryTable for SqlxMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        let columns =
            "version, description, installed_on, success, pg_catalog.encode(checksum, 'hex')";
        self.table.read(columns, "ORDER BY version")
    }

    fn parse(&self, results: &[Rows], _: &[Migration]) -> Result<History, Malformed> {
        let (table, rows) = self.table.rows(results)?;
        let recorded = rows.iter().map(|row| recorded(&table, row)).collect::<Result<_, _>>()?;
        Ok(History::new(SqlxMigrations { table }, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create(
            "(version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
             installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, \
             checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)",
        )
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let nanoseconds = "(extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.now()) * 1000000000)::bigint";
        Ok(self.insert(migration, true, nanoseconds))
    }

    /// As `sqlx migrate run --skip`.
    fn baseline(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.insert(migration, true, "-1"))
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        let table = &self.table.qualified;
        let delete = format!("DELETE FROM {table} WHERE version = {}", migration.version);
        Ok(self.table.some(&delete))
    }

    /// sqlx stops at a row whose success is false, although it does not write one itself.
    fn native_marks(
        &self,
        migration: &Migration,
        direction: Direction,
    ) -> Result<Option<NativeMarks>, Malformed> {
        if direction == Direction::Down {
            return Ok(None);
        }
        let (table, version) = (&self.table.qualified, &migration.version);
        let elapsed = "(extract(epoch FROM pg_catalog.now() - installed_on) * 1000000000)::bigint";
        let update = format!(
            "UPDATE {table} SET success = true, installed_on = pg_catalog.now(), \
             execution_time = {elapsed} WHERE version = {version}"
        );
        let delete = format!("DELETE FROM {table} WHERE version = {version} AND NOT success");
        Ok(Some(NativeMarks {
            start: self.insert(migration, false, "-1"),
            finish: self.table.one(&update),
            withdraw: self.table.one(&delete),
            fail: None,
        }))
    }

    /// sqlx itself treats other line ends as an edit, which its users report as a bug.
    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        matches_with_any_line_ends::<Sha384>(&migration.up.sql, &recorded.checksum, sha384)
    }

    /// What the library's `Migrator` locks; sqlx-cli locks nothing.
    fn native_locks(&self) -> Vec<String> {
        let database = "pg_catalog.convert_to(pg_catalog.current_database()::text, 'UTF8')";
        vec![format!("{} * {}", 0x3d32_ad9e, lock_keys::crc32(database))]
    }
}

/// The checksum; empty if the file can no longer be read, because sending it will report that.
fn sha384(text: &Text) -> String {
    text.digest::<Sha384>().unwrap_or_default()
}
