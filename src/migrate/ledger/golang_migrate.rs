//! golang-migrate's `schema_migrations`, byte for byte.

use super::{Applied, Attempt, Ledger, Malformed, Names, advisory, literal};
use crate::database::Rows;
use crate::migrate::Key;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;

/// `(version bigint PRIMARY KEY, dirty boolean)`, one row: the newest version that is applied. Every
/// file up to it counts as applied.
#[derive(Debug)]
pub struct GolangMigrate {
    names: Names,
    newest: Option<i64>,
    /// The versions on disk, for the one before another.
    files: Vec<i64>,
}

impl GolangMigrate {
    /// The table of that name, or golang-migrate's own, wherever the session creates tables.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        GolangMigrate {
            names: Names::new(name, None, "schema_migrations"),
            newest: None,
            files: Vec::new(),
        }
    }

    /// The row as this version.
    fn set(&self, version: impl std::fmt::Display, dirty: bool) -> String {
        // Where golang-migrate truncates, everybody who reads would wait.
        format!(
            "WITH older AS (DELETE FROM {0} WHERE version <> {version}) \
             INSERT INTO {0} (version, dirty) VALUES ({version}, {dirty}) \
             ON CONFLICT (version) DO UPDATE SET dirty = {dirty}",
            self.names.qualified
        )
    }

    /// The row as the version before this migration, which there may be none of.
    fn set_before(&self, migration: &Migration) -> String {
        let version = migration.key.number();
        let known = self.files.iter().copied().chain(self.newest);
        match known.filter(|known| Some(*known) < version).max() {
            Some(before) => self.set(before, false),
            None => format!("DELETE FROM {}", self.names.qualified),
        }
    }
}

impl Ledger for GolangMigrate {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        self.names.read("version, dirty", "LIMIT 1")
    }

    fn parse(
        &mut self,
        results: &[Rows],
        on_disk: &[Migration],
    ) -> Result<Vec<Applied>, Malformed> {
        let rows = self.names.rows(results)?;
        let out_of_turn = || self.names.out_of_turn();
        let row = match rows.first().map(Vec::as_slice) {
            None => None,
            Some([Some(version), Some(dirty)]) => {
                Some((version.parse().map_err(|_| out_of_turn())?, dirty == "t"))
            }
            Some(_) => return Err(out_of_turn()),
        };
        self.files = on_disk.iter().filter_map(|file| file.key.number()).collect();
        self.newest = row.map(|(version, _)| version);
        let Some((newest, dirty)) = row else { return Ok(Vec::new()) };

        let applied = |version: i64, name: &str| {
            Applied {
            key: Key::Number(version),
            name: name.to_owned(),
            checksum: String::new(),
            applied_on: None,
            failure: (dirty && version == newest).then(|| {
                format!(
                    "it is dirty: its way up, or the way down of the next one, stopped; \
                     see what of it is in the database, then run 'premain resolve --applied {version}' if \
                     all of it is, or '--rolled-back {version}' if nothing is, which lets it be applied again"
                )
            }),
        }
        };
        let files = on_disk.iter().filter_map(|file| Some((file.key.number()?, &file.name)));
        let mut recorded: Vec<_> = files
            .filter(|(version, _)| *version <= newest)
            .map(|(version, name)| applied(version, name))
            .collect();
        if !self.files.contains(&newest) {
            recorded.push(applied(newest, ""));
        }
        Ok(recorded)
    }

    fn create(&self) -> Vec<String> {
        self.names.create("(version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.set(&migration.key, false))
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.set_before(migration))
    }

    /// Its own two turns, and a third where nothing was kept.
    fn attempt(&self, migration: &Migration) -> Result<Option<Attempt>, Malformed> {
        let dirty = self.set(&migration.key, true);
        Ok(Some(Attempt {
            begin: dirty.clone(),
            finish: self.set(&migration.key, false),
            withdraw: self.set_before(migration),
            fail: dirty,
        }))
    }

    /// Nothing of the file is recorded.
    fn unchanged(&self, _: &Migration, _: &Applied) -> bool {
        true
    }

    /// What is older than the newest version counts as applied, so nothing is ever out of order.
    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Warn,
            missing: Policy::Fail,
            out_of_order: OutOfOrder::Fail,
            ahead: Policy::Warn,
        }
    }

    /// By way of a URL golang-migrate takes the name of the database with the slash in front.
    fn native_locks(&self) -> Vec<String> {
        let lock = |slash: &str| {
            let database = format!("'{slash}' || pg_catalog.current_database()::text");
            let parts = [database, self.names.schema(), literal(&self.names.local)];
            let bytes = parts.map(|text| format!("pg_catalog.convert_to({text}, 'UTF8')"));
            let crc = advisory::crc32(&bytes.join(" || '\\x00'::bytea || "));
            format!("{crc} * 1486364155 & 4294967295")
        };
        vec![lock("/"), lock("")]
    }
}
