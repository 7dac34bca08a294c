//! Drizzle's `drizzle.__drizzle_migrations` from 1.0 on, byte for byte, and its upgrade from before.

use crate::database::Rows;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::formats::timestamp::milliseconds;
use crate::migrate::history::{History, HistoryTable, Malformed, Recorded};
use crate::migrate::marks::MarksTable;
use crate::migrate::migration::Migration;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::{LocaleName, Version};

/// `(id serial PRIMARY KEY, hash text NOT NULL, created_at bigint, name text, applied_at timestamptz DEFAULT
/// now())`; before 1.0 without the last two.
#[derive(Debug)]
pub(super) struct DrizzleMigrations {
    table: Table,
    /// The statements that upgrade a table from before 1.0; empty if it is not one.
    upgrade: Vec<String>,
}

struct Row<'a> {
    id: &'a str,
    hash: &'a str,
    created_at: Option<i64>,
    name: Option<&'a str>,
    applied_at: Option<&'a str>,
}

impl DrizzleMigrations {
    /// The table of that name, or Drizzle's own.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        let table = Table::new(name, Some("drizzle"), "__drizzle_migrations");
        DrizzleMigrations { table, upgrade: Vec::new() }
    }

    /// The history in a table from before 1.0. Each row belongs to the migration of its second; if there are
    /// several, to the one with its hash; if there is none, to any migration with its hash.
    fn upgraded(&self, rows: &[Row<'_>], on_disk: &[Migration]) -> Result<History, Malformed> {
        let table = &self.table.qualified;
        let mut upgrade = vec![
            format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS name text"),
            format!(
                "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS applied_at timestamp with time zone DEFAULT now()"
            ),
        ];
        let mut recorded = Vec::new();
        for row in rows {
            let second = row.created_at.map(|when| when.div_euclid(1000) * 1000);
            let of_second: Vec<_> = on_disk
                .iter()
                .filter(|migration| second.is_some() && milliseconds(&migration.name) == second)
                .collect();
            let same_hash = |migration: &&Migration| migration.up.sql.sha256() == row.hash;
            let migration = match of_second.as_slice() {
                [] => on_disk.iter().rev().find(same_hash),
                [one] => Some(*one),
                several => several.iter().copied().find(same_hash),
            };
            let Some(migration) = migration else {
                return Err(self.table.malformed(format!(
                    "its row with id {} (created_at {}) is from before Drizzle 1.0 and belongs to no migration on disk; \
                     restore the migration that it records, or run 'drizzle-kit up' on a complete directory",
                    row.id,
                    row.created_at.unwrap_or_default()
                )));
            };
            upgrade.push(self.table.one(&format!(
                "UPDATE {table} SET name = {}, applied_at = NULL WHERE id = {}",
                literal(&migration.name),
                row.id
            )));
            recorded.push(row.recorded(&migration.name));
        }
        let table = DrizzleMigrations { table: self.table.clone(), upgrade };
        Ok(History::new(table, recorded))
    }
}

impl Row<'_> {
    fn recorded(&self, name: &str) -> Recorded {
        Recorded {
            version: Version::Name(LocaleName(name.to_owned())),
            name: name.to_owned(),
            title: name.to_owned(),
            checksum: self.hash.to_owned(),
            applied_on: self.applied_at.map(str::to_owned),
            failure: None,
        }
    }
}

impl HistoryTable for DrizzleMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    /// Reads rows as JSON, because a column may be missing.
    fn read(&self) -> String {
        let table = &self.table.qualified;
        format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute \
             WHERE attrelid = {}::pg_catalog.regclass AND attname = 'name' AND NOT attisdropped); \
             SELECT id, hash, created_at, pg_catalog.to_jsonb(r) ->> 'name', pg_catalog.to_jsonb(r) ->> 'applied_at' \
             FROM {table} r ORDER BY id",
            literal(table)
        )
    }

    fn parse(&self, results: &[Rows], on_disk: &[Migration]) -> Result<History, Malformed> {
        let [has_name, rows] = results else { return Err(self.table.unexpected()) };
        let mut known = Vec::new();
        for row in rows {
            let [Some(id), Some(hash), created_at, name, applied_at] = row.as_slice() else {
                return Err(self.table.unexpected());
            };
            known.push(Row {
                id,
                hash,
                created_at: created_at.as_deref().and_then(|when| when.parse().ok()),
                name: name.as_deref(),
                applied_at: applied_at.as_deref(),
            });
        }
        if has_name.first().and_then(|row| row.first()?.as_deref()) != Some("t") {
            return self.upgraded(&known, on_disk);
        }
        // Drizzle itself ignores a row without a name as well.
        let recorded = known.iter().filter_map(|row| Some(row.recorded(row.name?))).collect();
        let table = DrizzleMigrations { table: self.table.clone(), upgrade: Vec::new() };
        Ok(History::new(table, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create(
            "(id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint, \
             name text, applied_at timestamp with time zone DEFAULT now())",
        )
    }

    fn upgrade(&self) -> &[String] {
        &self.upgrade
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let Some(created_at) = milliseconds(&migration.name) else {
            return Err(self.table.malformed(format!(
                "its rows need the time at the beginning of a directory's name, as in 20240101120000_init; \
                 {} begins with none: rename the directory",
                migration.name
            )));
        };
        Ok(self.table.one(&format!(
            "INSERT INTO {} (hash, created_at, name) VALUES ({}, {created_at}, {})",
            self.table.qualified,
            literal(&migration.up.sql.sha256()),
            literal(&migration.name)
        )))
    }

    /// Drizzle has no down migrations; a migration without a row is pending.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.table.some(&format!(
            "DELETE FROM {} WHERE name = {}",
            self.table.qualified,
            literal(&migration.name)
        )))
    }

    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        recorded.checksum == migration.up.sql.sha256()
    }
}
