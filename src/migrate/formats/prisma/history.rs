//! Prisma's `_prisma_migrations`, byte for byte.

use sha2::Sha256;

use crate::database::Rows;
use crate::migrate::formats::checksum::{matches_with_any_line_ends, uuid};
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{
    History, HistoryTable, Malformed, NativeMarks, Recorded, Stopped, how_to_resolve,
};
use crate::migrate::marks::{Direction, MarksTable};
use crate::migrate::migration::Migration;
use crate::migrate::sql::Text;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::{LocaleName, Version};

/// One row per attempt: a name may have several rows, rolled back and applied.
#[derive(Debug)]
pub(super) struct PrismaMigrations {
    table: Table,
}

impl PrismaMigrations {
    /// The table of that name, or Prisma's own, wherever the session creates tables.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        PrismaMigrations { table: Table::new(name, None, "_prisma_migrations") }
    }

    fn id(&self) -> Result<String, Malformed> {
        uuid().map_err(|error| {
            self.table.malformed(format!("no random bytes for the id of a new row: {error}"))
        })
    }
}

fn recorded(table: &Table, row: &[Option<String>]) -> Result<Recorded, Malformed> {
    let [Some(name), Some(checksum), Some(started_at), finished_at, logs] = row else {
        return Err(table.unexpected());
    };
    let failure = finished_at.is_none().then(|| {
        let reason = logs.as_deref().and_then(|logs| logs.lines().find(|line| !line.is_empty()));
        Stopped::up(format!(
            "it was started on {started_at} ({}); {}",
            reason.unwrap_or("no reason is recorded"),
            how_to_resolve(name)
        ))
    });
    Ok(Recorded {
        version: Version::Name(LocaleName(name.clone())),
        name: name.clone(),
        title: name.clone(),
        checksum: checksum.clone(),
        applied_on: Some(finished_at.as_ref().unwrap_or(started_at).clone()),
        failure,
    })
}

impl HistoryTable for PrismaMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        self.table.read(
            "migration_name, checksum, started_at, finished_at, \
             CASE WHEN finished_at IS NULL THEN pg_catalog.left(logs, 10000) END",
            "WHERE rolled_back_at IS NULL ORDER BY started_at",
        )
    }

    fn parse(&self, results: &[Rows], _: &[Migration]) -> Result<History, Malformed> {
        let (table, rows) = self.table.rows(results)?;
        let recorded = rows.iter().map(|row| recorded(&table, row)).collect::<Result<_, _>>()?;
        Ok(History::new(PrismaMigrations { table }, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create(
            "(id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, \
             finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, \
             rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ NOT NULL DEFAULT now(), \
             applied_steps_count INTEGER NOT NULL DEFAULT 0)",
        )
    }

    /// As `prisma migrate resolve --applied`: no steps, and empty logs.
    fn baseline(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.one(&format!(
            "INSERT INTO {} (id, checksum, started_at, migration_name, finished_at, logs, applied_steps_count) \
             VALUES ({}, {}, pg_catalog.now(), {}, pg_catalog.now(), '', 0)",
            self.table.qualified,
            literal(&self.id()?),
            literal(&migration.up.sql.sha256()),
            literal(&migration.name)
        )))
    }

    /// Prisma inserts a row, runs the script and updates the row. In one transaction a single INSERT has the same
    /// effect.
    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.one(&format!(
            "INSERT INTO {} (id, checksum, started_at, migration_name, finished_at, applied_steps_count) \
             VALUES ({}, {}, pg_catalog.now(), {}, pg_catalog.clock_timestamp(), 1)",
            self.table.qualified,
            literal(&self.id()?),
            literal(&migration.up.sql.sha256()),
            literal(&migration.name)
        )))
    }

    /// As `prisma migrate resolve --rolled-back`, which keeps the row. Prisma itself does that only for failed migrations, and
    /// has no down migrations; teams that write them use an UPDATE like this one.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.some(&format!(
            "UPDATE {} SET rolled_back_at = pg_catalog.now() WHERE migration_name = {} AND rolled_back_at IS NULL",
            self.table.qualified,
            literal(&migration.name)
        )))
    }

    /// Prisma's own steps. The row of a running migration is the only one of its name that is neither finished nor
    /// rolled back: another one would have stopped the start.
    fn native_marks(
        &self,
        migration: &Migration,
        direction: Direction,
    ) -> Result<Option<NativeMarks>, Malformed> {
        if direction == Direction::Down {
            return Ok(None);
        }
        let table = &self.table.qualified;
        let row = format!(
            "WHERE migration_name = {} AND finished_at IS NULL AND rolled_back_at IS NULL",
            literal(&migration.name)
        );
        let insert = format!(
            "INSERT INTO {table} (id, checksum, started_at, migration_name) \
             VALUES ({}, {}, pg_catalog.now(), {})",
            literal(&self.id()?),
            literal(&migration.up.sql.sha256()),
            literal(&migration.name)
        );
        let update = format!(
            "UPDATE {table} SET finished_at = pg_catalog.now(), applied_steps_count = 1 {row}"
        );
        Ok(Some(NativeMarks {
            start: self.table.one(&insert),
            finish: self.table.one(&update),
            withdraw: self.table.one(&format!("DELETE FROM {table} {row}")),
            fail: Some(format!(
                "UPDATE {table} SET logs = pg_catalog.current_setting('premain.failure') {row}"
            )),
        }))
    }

    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        let sql = &migration.up.sql;
        matches_with_any_line_ends::<Sha256>(sql, &recorded.checksum, Text::sha256)
    }

    /// What `prisma migrate` itself locks.
    fn native_locks(&self) -> Vec<String> {
        vec!["72707369".to_owned()]
    }
}
