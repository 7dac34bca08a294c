//! golang-migrate's `schema_migrations`, byte for byte.

use std::fmt;

use crate::database::Rows;
use crate::migrate::formats::lock_keys;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{
    History, HistoryTable, Malformed, NativeMarks, Recorded, Stopped, how_to_resolve,
};
use crate::migrate::marks::{Direction, MarksTable};
use crate::migrate::migration::Migration;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::Version;

/// `(version bigint PRIMARY KEY, dirty boolean)`, one row: the newest applied version. Every file up to it
/// counts as applied.
#[derive(Debug)]
pub(super) struct SchemaMigrations {
    table: Table,
    /// The versions on disk, and the recorded one: to find the version before another.
    versions: Vec<i64>,
}

impl SchemaMigrations {
    /// The table of that name, or golang-migrate's own, wherever the session creates tables.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        SchemaMigrations {
            table: Table::new(name, None, "schema_migrations"),
            versions: Vec::new(),
        }
    }

    /// The statements that make `version` the only row. golang-migrate truncates instead, which would make every
    /// reader of the table wait.
    fn set(&self, version: impl fmt::Display, dirty: bool) -> String {
        let table = &self.table.qualified;
        // Inserts nothing if a trigger has kept another row.
        let insert = format!(
            "INSERT INTO {table} (version, dirty) SELECT {version}, {dirty} \
             WHERE NOT EXISTS (SELECT FROM {table} WHERE version <> {version}) \
             ON CONFLICT (version) DO UPDATE SET dirty = {dirty}"
        );
        format!("DELETE FROM {table} WHERE version <> {version}; {}", self.table.one(&insert))
    }

    /// The statement that makes the version before `migration` the only row, or removes the row if there is no
    /// version before it.
    fn set_before(&self, migration: &Migration) -> String {
        let version = migration.version.number();
        match self.versions.iter().filter(|known| Some(**known) < version).max() {
            Some(before) => self.set(before, false),
            None => self.table.some(&format!("DELETE FROM {}", self.table.qualified)),
        }
    }
}

impl HistoryTable for SchemaMigrations {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        self.table.read("version, dirty", "LIMIT 1")
    }

    fn parse(&self, results: &[Rows], on_disk: &[Migration]) -> Result<History, Malformed> {
        let (table, rows) = self.table.rows(results)?;
        let row: Option<(i64, bool)> = match rows.first().map(Vec::as_slice) {
            None => None,
            Some([Some(version), Some(dirty)]) => {
                Some((version.parse().map_err(|_| table.unexpected())?, dirty == "t"))
            }
            Some(_) => return Err(table.unexpected()),
        };
        let files = || on_disk.iter().filter_map(|file| Some((file.version.number()?, file)));
        let mut recorded = Vec::new();
        if let Some((newest, dirty)) = row {
            let applied = |version: i64, name: &str| {
                Recorded {
                version: Version::Number(version),
                name: name.to_owned(),
                title: version.to_string(),
                checksum: String::new(),
                applied_on: None,
                failure: (dirty && version == newest).then(|| {
                    Stopped::up(format!(
                        "it is dirty: its up migration, or the down migration of the next one, stopped halfway; {}",
                        how_to_resolve(version)
                    ))
                }),
            }
            };
            let up_to_newest = files().filter(|(version, _)| *version <= newest);
            recorded.extend(up_to_newest.map(|(version, file)| applied(version, &file.name)));
            if files().all(|(version, _)| version != newest) {
                recorded.push(applied(newest, ""));
            }
        }
        let versions = files().map(|(version, _)| version).chain(row.map(|(newest, _)| newest));
        let table = SchemaMigrations { table, versions: versions.collect() };
        Ok(History::new(table, recorded))
    }

    fn create(&self) -> Vec<String> {
        self.table.create("(version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)")
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.set(&migration.version, false))
    }

    fn records_only_the_newest(&self) -> bool {
        true
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.set_before(migration))
    }

    /// golang-migrate's own two steps, and a third if nothing was kept. It marks the version before the one whose down
    /// migration runs; that would not say whether this one is still applied.
    fn native_marks(
        &self,
        migration: &Migration,
        direction: Direction,
    ) -> Result<Option<NativeMarks>, Malformed> {
        let (this, before) = (self.set(&migration.version, false), self.set_before(migration));
        let (finish, withdraw) = match direction {
            Direction::Up => (this, before),
            Direction::Down => (before, this),
        };
        let start = self.set(&migration.version, true);
        Ok(Some(NativeMarks { start, finish, withdraw, fail: None }))
    }

    /// The table has no checksum.
    fn is_unchanged(&self, _: &Migration, _: &Recorded) -> bool {
        true
    }

    /// golang-migrate's command has the database's name from a URL, with the slash before it.
    fn native_locks(&self) -> Vec<String> {
        let lock = |slash: &str| {
            let database = format!("'{slash}' || pg_catalog.current_database()::text");
            let parts = [self.table.schema(), literal(&self.table.local), database];
            let bytes = parts.map(|text| format!("pg_catalog.convert_to({text}, 'UTF8')"));
            let crc = lock_keys::crc32(&bytes.join(" || pg_catalog.decode('00', 'hex') || "));
            format!("{crc} * 1486364155 & 4294967295")
        };
        vec![lock("/"), lock("")]
    }
}
