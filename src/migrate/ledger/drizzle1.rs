//! Drizzle's `drizzle.__drizzle_migrations` from 1.0 on, byte for byte, and its upgrade from before.

use time::{Date, Month, Time, UtcDateTime};

use super::{Applied, Ledger, Malformed, Names, literal, sha256};
use crate::database::Rows;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;
use crate::migrate::{Key, Name};

/// `(id serial PRIMARY KEY, hash text NOT NULL, created_at bigint, name text, applied_at timestamptz
/// DEFAULT now())`; before 1.0 without the last two.
#[derive(Debug)]
pub struct Drizzle1 {
    names: Names,
    upgrade: Vec<String>,
}

/// A row as it stands in the table.
struct Row<'a> {
    id: &'a str,
    hash: &'a str,
    created_at: Option<i64>,
    name: Option<&'a str>,
    applied_at: Option<&'a str>,
}

impl Drizzle1 {
    /// The table of that name, or Drizzle's own default for what was not named.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        let names = Names::new(name, Some("drizzle"), "__drizzle_migrations");
        Drizzle1 { names, upgrade: Vec::new() }
    }

    /// Which migration each row of a table from before 1.0 records: the one of its second, by its
    /// hash if there are several; by its hash alone if there is none.
    fn upgrade(
        &mut self,
        rows: &[Row<'_>],
        on_disk: &[Migration],
    ) -> Result<Vec<Applied>, Malformed> {
        let table = &self.names.qualified;
        self.upgrade = vec![
            format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS name text"),
            format!(
                "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS applied_at timestamp with time zone DEFAULT now()"
            ),
        ];
        let mut applied = Vec::new();
        for row in rows {
            let second = row.created_at.map(|when| when.div_euclid(1000) * 1000);
            let of_second: Vec<_> = on_disk
                .iter()
                .filter(|migration| second.is_some() && milliseconds(&migration.name) == second)
                .collect();
            let same_hash = |migration: &&Migration| sha256(&migration.up.sql) == row.hash;
            let migration = match of_second.as_slice() {
                [] => on_disk.iter().rev().find(same_hash),
                [one] => Some(*one),
                several => several.iter().copied().find(same_hash),
            };
            let Some(migration) = migration else {
                return Err(self.names.malformed(format!(
                    "its row of id {} (created_at {}) from before Drizzle 1.0 belongs to no folder here; \
                     restore the migration that it records, or run 'drizzle-kit up' on a complete folder",
                    row.id,
                    row.created_at.unwrap_or_default()
                )));
            };
            self.upgrade.push(format!(
                "UPDATE {} SET name = {}, applied_at = NULL WHERE id = {}",
                self.names.qualified,
                literal(&migration.name),
                row.id
            ));
            applied.push(record_of(&migration.name, row));
        }
        Ok(applied)
    }
}

fn record_of(name: &str, row: &Row<'_>) -> Applied {
    Applied {
        key: Key::Name(Name(name.to_owned())),
        name: name.to_owned(),
        checksum: row.hash.to_owned(),
        applied_on: row.applied_at.map(str::to_owned),
        failure: None,
    }
}

/// The time that a folder's name begins with, `20240101120000`, in milliseconds since 1970.
pub(crate) fn milliseconds(name: &str) -> Option<i64> {
    let digits = name.get(..14).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let part = |from: usize| digits.get(from..from + 2)?.parse::<u8>().ok();
    let month = Month::try_from(part(4)?).ok()?;
    let date = Date::from_calendar_date(digits.get(..4)?.parse().ok()?, month, part(6)?).ok()?;
    let time = Time::from_hms(part(8)?, part(10)?, part(12)?).ok()?;
    Some(UtcDateTime::new(date, time).unix_timestamp() * 1000)
}

impl Ledger for Drizzle1 {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        let table = &self.names.qualified;
        // By way of JSON a column may be missing.
        format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute \
             WHERE attrelid = {}::pg_catalog.regclass AND attname = 'name' AND NOT attisdropped); \
             SELECT id, hash, created_at, pg_catalog.to_jsonb(r) ->> 'name', pg_catalog.to_jsonb(r) ->> 'applied_at' \
             FROM {table} r ORDER BY id",
            literal(table)
        )
    }

    fn parse(
        &mut self,
        results: &[Rows],
        on_disk: &[Migration],
    ) -> Result<Vec<Applied>, Malformed> {
        let out_of_turn = || self.names.out_of_turn();
        let [has_name, rows] = results else { return Err(out_of_turn()) };
        let mut known = Vec::new();
        for row in rows {
            let [Some(id), Some(hash), created_at, name, applied_at] = row.as_slice() else {
                return Err(out_of_turn());
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
            return self.upgrade(&known, on_disk);
        }
        self.upgrade.clear();
        // A row without a name is nothing to Drizzle either.
        Ok(known.iter().filter_map(|row| Some(record_of(row.name?, row))).collect())
    }

    fn create(&self) -> Vec<String> {
        self.names.create(
            "(id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint, \
             name text, applied_at timestamp with time zone DEFAULT now())",
        )
    }

    fn upgrade(&self) -> &[String] {
        &self.upgrade
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let Some(created_at) = milliseconds(&migration.name) else {
            return Err(self.names.malformed(format!(
                "it needs the time that a folder's name begins with, as in 20240101120000_init; \
                 {} begins with none: rename the folder",
                migration.name
            )));
        };
        Ok(format!(
            "INSERT INTO {} (hash, created_at, name) VALUES ({}, {created_at}, {})",
            self.names.qualified,
            literal(&sha256(&migration.up.sql)),
            literal(&migration.name)
        ))
    }

    /// Drizzle knows no way down; a row less is a migration that is pending.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "DELETE FROM {} WHERE name = {}",
            self.names.qualified,
            literal(&migration.name)
        ))
    }

    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        applied.checksum == sha256(&migration.up.sql)
    }

    /// Drizzle compares names alone.
    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Warn,
            missing: Policy::Warn,
            out_of_order: OutOfOrder::Apply,
            ahead: Policy::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_folder_s_time() {
        assert_eq!(milliseconds("20261120220322_init"), Some(1_795_212_202_000));
        assert_eq!(milliseconds("19700101000000"), Some(0));
        for name in ["", "0_init", "20261320000000_x", "2026112022032ä", "日本日本日"] {
            assert_eq!(milliseconds(name), None, "{name}");
        }
    }
}
