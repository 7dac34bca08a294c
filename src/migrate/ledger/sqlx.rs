//! sqlx's `_sqlx_migrations`, byte for byte.

use sha2::Sha384;

use super::{Applied, Attempt, Ledger, Malformed, Names, advisory, literal, same_but_line_ends};
use crate::database::Rows;
use crate::migrate::Key;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::{Migration, Text};

/// One row a migration: `checksum` is the SHA-384 of the file's bytes, `execution_time` is in
/// nanoseconds, -1 where nothing ran.
#[derive(Debug)]
pub struct Sqlx {
    names: Names,
}

impl Sqlx {
    /// The table of that name, or sqlx's own, wherever the session creates tables.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Sqlx { names: Names::new(name, None, "_sqlx_migrations") }
    }

    fn applied(&self, row: &[Option<String>]) -> Result<Applied, Malformed> {
        let [Some(version), Some(name), Some(installed_on), Some(success), Some(checksum)] = row
        else {
            return Err(self.names.out_of_turn());
        };
        let failure = (success != "t").then(|| {
            format!(
                "it began on {installed_on} and never finished; see what of it is in the database, then run \
                 'premain resolve --applied {version}' if all of it is, or '--rolled-back {version}' \
                 if nothing is, which lets it be applied again"
            )
        });
        Ok(Applied {
            key: Key::Number(version.parse().map_err(|_| {
                self.names
                    .malformed(format!("'{version}' is no version; sqlx writes whole numbers"))
            })?),
            name: name.clone(),
            checksum: checksum.clone(),
            applied_on: Some(installed_on.clone()),
            failure,
        })
    }

    fn insert(&self, migration: &Migration, success: bool, execution_time: &str) -> String {
        format!(
            "INSERT INTO {} (version, description, success, checksum, execution_time) \
             VALUES ({}, {}, {success}, '\\x{}', {execution_time})",
            self.names.qualified,
            migration.key,
            literal(&migration.name),
            sha384(&migration.up.sql)
        )
    }
}

impl Ledger for Sqlx {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        let columns =
            "version, description, installed_on, success, pg_catalog.encode(checksum, 'hex')";
        self.names.read(columns, "ORDER BY version")
    }

    fn parse(&mut self, results: &[Rows], _: &[Migration]) -> Result<Vec<Applied>, Malformed> {
        let rows = self.names.rows(results)?;
        rows.iter().map(|row| self.applied(row)).collect()
    }

    fn create(&self) -> Vec<String> {
        self.names.create(
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
        Ok(format!("DELETE FROM {} WHERE version = {}", self.names.qualified, migration.key))
    }

    /// sqlx stops at `false`, which it does not write itself: it would begin again with what was kept
    /// halfway.
    fn attempt(&self, migration: &Migration) -> Result<Option<Attempt>, Malformed> {
        let (table, version) = (&self.names.qualified, &migration.key);
        let elapsed = "(extract(epoch FROM pg_catalog.now() - installed_on) * 1000000000)::bigint";
        Ok(Some(Attempt {
            begin: self.insert(migration, false, "-1"),
            finish: format!(
                "UPDATE {table} SET success = true, installed_on = pg_catalog.now(), \
                 execution_time = {elapsed} WHERE version = {version}"
            ),
            withdraw: format!("DELETE FROM {table} WHERE version = {version} AND NOT success"),
            fail: format!(
                "UPDATE {table} SET execution_time = {elapsed} WHERE version = {version} AND NOT success"
            ),
        }))
    }

    /// To sqlx other line ends are an edit, which is what makes people write about it.
    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        same_but_line_ends::<Sha384>(&migration.up.sql, &applied.checksum, sha384)
    }

    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Fail,
            missing: Policy::Fail,
            out_of_order: OutOfOrder::Apply,
            ahead: Policy::Warn,
        }
    }

    /// What the library's `Migrator` locks; sqlx-cli locks nothing.
    fn native_locks(&self) -> Vec<String> {
        let database = "pg_catalog.convert_to(pg_catalog.current_database()::text, 'UTF8')";
        vec![format!("{} * {}", 0x3d32_ad9e, advisory::crc32(database))]
    }
}

/// Empty, which is no checksum of anything, where the file is gone by now: sending it will say so.
fn sha384(text: &Text) -> String {
    text.digest::<Sha384>().unwrap_or_default()
}
