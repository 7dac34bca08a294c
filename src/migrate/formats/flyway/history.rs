//! Flyway's `flyway_schema_history`, byte for byte.

use std::collections::BTreeMap;

use crate::database::Rows;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{
    History, HistoryTable, Malformed, NativeMarks, Recorded, Stopped, how_to_resolve,
};
use crate::migrate::marks::{Direction, MarksTable};
use crate::migrate::migration::Migration;
use crate::migrate::sql::Text;
use crate::migrate::sql::quoting::{literal, quote};
use crate::migrate::version::{Dotted, Version};

/// The constant that Flyway adds to the hash of the table's name.
const LOCK: i64 = 77_431_708_279_161;

/// How many characters the column `description` holds.
const DESCRIPTION: usize = 200;

/// How many characters the column `script` holds.
const SCRIPT: usize = 1000;

/// One row per applied script, in the order of `installed_rank`; a repeatable migration has a new row each time.
/// `checksum` is a signed CRC-32, `execution_time` is in milliseconds.
#[derive(Debug)]
pub(super) struct FlywaySchemaHistory {
    table: Table,
    /// The versions as the table has them: `1.0` for a file with version `1`.
    versions: Vec<Dotted>,
}

struct Row<'a> {
    version: Option<Dotted>,
    description: &'a str,
    kind: &'a str,
    script: &'a str,
    checksum: &'a str,
    installed_on: &'a str,
    success: bool,
}

impl<'a> Row<'a> {
    fn parse(table: &Table, row: &'a [Option<String>]) -> Result<Row<'a>, Malformed> {
        let [
            version,
            Some(description),
            Some(kind),
            Some(script),
            checksum,
            Some(on),
            Some(success),
        ] = row
        else {
            return Err(table.unexpected());
        };
        let version = version.as_deref().map(|version| {
            Dotted::parse(version).ok_or_else(|| {
                table.malformed(format!(
                    "'{version}' is not a version; Flyway writes numbers with dots between them"
                ))
            })
        });
        Ok(Row {
            version: version.transpose()?,
            description,
            kind,
            script,
            checksum: checksum.as_deref().unwrap_or_default(),
            installed_on: on,
            success: success == "t",
        })
    }
}

impl FlywaySchemaHistory {
    /// The table of that name, or Flyway's own, wherever the session creates tables.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        let table = Table::new(name, None, "flyway_schema_history");
        FlywaySchemaHistory { table, versions: Vec::new() }
    }

    fn insert(&self, migration: &Migration, milliseconds: &str, success: bool) -> String {
        let version = match &migration.version {
            Version::Dotted(version) => literal(&version.text),
            _ => "NULL".to_owned(),
        };
        let script = migration.up.file.file_name().unwrap_or_default().to_string_lossy();
        self.table.one(&format!(
            "INSERT INTO {0} (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success) \
             VALUES ((SELECT coalesce(max(installed_rank), 0) + 1 FROM {0}), {version}, {1}, 'SQL', {2}, {3}, current_user, {milliseconds}, {success})",
            self.table.qualified,
            literal(&description(&migration.name)),
            literal(&shortened_at_the_beginning(&script)),
            checksum(&migration.up.sql),
        ))
    }

    /// The SQL condition for the rows of `migration`.
    fn rows_of(&self, migration: &Migration) -> String {
        match &migration.version {
            Version::Dotted(version) => {
                let recorded = self.versions.iter().find(|recorded| *recorded == version);
                format!("version = {}", literal(&recorded.unwrap_or(version).text))
            }
            _ => format!(
                "version IS NULL AND type = 'SQL' AND description = {}",
                literal(&description(&migration.name))
            ),
        }
    }
}

impl HistoryTable for FlywaySchemaHistory {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        let columns = "version, description, type, script, checksum, installed_on, success";
        self.table.read(columns, "ORDER BY installed_rank")
    }

    /// The last row of a version, or of a repeatable migration, counts. A repeatable migration whose file has
    /// changed is pending, not edited.
    fn parse(&self, results: &[Rows], on_disk: &[Migration]) -> Result<History, Malformed> {
        let (table, rows) = self.table.rows(results)?;
        let mut versions = Vec::new();
        let (mut applied, mut baseline) = (BTreeMap::new(), None);
        for row in rows {
            let row = Row::parse(&table, row)?;
            let version = match row.version.clone() {
                Some(version) => Version::Dotted(version),
                None => Version::Repeatable(row.description.to_owned()),
            };
            match row.kind {
                // Records which schemas Flyway created.
                "SCHEMA" => continue,
                "BASELINE" => {
                    baseline = row.version.map(|version| (version, row.installed_on.to_owned()));
                    continue;
                }
                // Written by `flyway repair` for a migration without a file.
                "DELETE" => {
                    applied.remove(&version);
                    continue;
                }
                kind if kind.starts_with("UNDO") => {
                    applied.remove(&version);
                    continue;
                }
                _ => {}
            }
            let failure = (!row.success).then(|| {
                let resolve = how_to_resolve(&version);
                Stopped::up(format!("it was started on {}; {resolve}", row.installed_on))
            });
            let is_changed = |file: &Migration| {
                file.version == version && checksum(&file.up.sql).to_string() != row.checksum
            };
            let changed = version.is_repeatable() && on_disk.iter().any(is_changed);
            // An earlier row of the same migration no longer counts.
            applied.remove(&version);
            if !changed || failure.is_some() {
                let recorded = Recorded {
                    title: title(row.script),
                    version: version.clone(),
                    name: row.description.to_owned(),
                    checksum: row.checksum.to_owned(),
                    applied_on: Some(row.installed_on.to_owned()),
                    failure,
                };
                applied.insert(version, recorded);
            }
            versions.extend(row.version);
        }
        // Migrations up to a baseline are not recorded, and Flyway does not compare them.
        if let Some((baseline, on)) = baseline {
            let below = on_disk.iter().filter(
                |file| matches!(&file.version, Version::Dotted(version) if *version <= baseline),
            );
            for file in below {
                applied.entry(file.version.clone()).or_insert_with(|| Recorded {
                    version: file.version.clone(),
                    name: description(&file.name),
                    title: file.title.clone(),
                    checksum: checksum(&file.up.sql).to_string(),
                    applied_on: Some(on.clone()),
                    failure: None,
                });
            }
        }
        let recorded = applied.into_values().collect();
        Ok(History::new(FlywaySchemaHistory { table, versions }, recorded))
    }

    fn create(&self) -> Vec<String> {
        let mut statements = self.table.create(&format!(
            "(installed_rank INT NOT NULL, version VARCHAR(50), description VARCHAR(200) NOT NULL, \
             type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL, checksum INTEGER, \
             installed_by VARCHAR(100) NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT now(), \
             execution_time INTEGER NOT NULL, success BOOLEAN NOT NULL, \
             CONSTRAINT {} PRIMARY KEY (installed_rank))",
            quote(&format!("{}_pk", self.table.local))
        ));
        statements.push(format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} (success)",
            quote(&format!("{}_s_idx", self.table.local)),
            self.table.qualified
        ));
        statements
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let milliseconds =
            "(extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.now()) * 1000)::int";
        Ok(self.insert(migration, milliseconds, true))
    }

    fn baseline(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(self.insert(migration, "0", true))
    }

    /// Also deletes the row that a down migration of the paid edition left.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        let rows = self.rows_of(migration);
        Ok(self.table.some(&format!("DELETE FROM {} WHERE {rows}", self.table.qualified)))
    }

    /// Flyway itself writes the row of a failure if the failed script was not rolled back.
    fn native_marks(
        &self,
        migration: &Migration,
        direction: Direction,
    ) -> Result<Option<NativeMarks>, Malformed> {
        if direction == Direction::Down {
            return Ok(None);
        }
        let table = &self.table.qualified;
        let row = format!("{} AND NOT success", self.rows_of(migration));
        let milliseconds =
            "(extract(epoch FROM pg_catalog.now()::timestamp - installed_on) * 1000)::int";
        let update = format!(
            "UPDATE {table} SET success = true, installed_on = pg_catalog.now(), \
             execution_time = {milliseconds} WHERE {row}"
        );
        Ok(Some(NativeMarks {
            start: self.insert(migration, "0", false),
            finish: self.table.one(&update),
            withdraw: self.table.one(&format!("DELETE FROM {table} WHERE {row}")),
            fail: None,
        }))
    }

    /// Flyway treats another description as an edit as well.
    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        recorded.checksum == checksum(&migration.up.sql).to_string()
            && recorded.name == description(&migration.name)
    }

    /// Flyway adds the hash of `"schema"."table"` by Java's `String.hashCode`.
    fn native_locks(&self) -> Vec<String> {
        let schema = self.table.schema();
        let table = literal(&quote(&self.table.local));
        vec![format!(
            "(WITH RECURSIVE text (name) AS (\
             SELECT pg_catalog.concat('\"', pg_catalog.replace({schema}, '\"', '\"\"'), '\".', {table})), hash (at, value) AS (\
             SELECT 0, 0::bigint UNION ALL \
             SELECT at + 1, (value * 31 + pg_catalog.ascii(pg_catalog.substr(name, at + 1, 1))) % 4294967296 \
             FROM hash, text WHERE at < pg_catalog.length(name)) \
             SELECT {LOCK} + value - CASE WHEN value > 2147483647 THEN 4294967296 ELSE 0 END \
             FROM hash ORDER BY at DESC LIMIT 1)"
        )]
    }
}

/// The title of the file with this `script`: `V1.2__add_orders` of `orders/V1.2__add_orders.sql`.
fn title(script: &str) -> String {
    let file = script.rsplit('/').next().unwrap_or_default();
    file.strip_suffix(".sql").unwrap_or(file).to_owned()
}

/// The CRC-32 of the lines, without line ends and without a byte order mark; 0 if the file can no longer be read, because
/// sending it will report that.
fn checksum(text: &Text) -> i32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut first = true;
    let read = text.chunks(|chunk| {
        let chunk = chunk.strip_prefix('\u{feff}').filter(|_| first).unwrap_or(chunk);
        first = false;
        chunk.split(['\r', '\n']).for_each(|line| hasher.update(line.as_bytes()));
    });
    read.map_or(0, |()| hasher.finalize().cast_signed())
}

/// A description, shortened to what the table holds.
fn description(name: &str) -> String {
    match name.chars().count() {
        0..=DESCRIPTION => name.to_owned(),
        _ => name.chars().take(DESCRIPTION - 3).chain("...".chars()).collect(),
    }
}

/// A file's name, shortened to what the table holds.
fn shortened_at_the_beginning(script: &str) -> String {
    match script.chars().count() {
        0..=SCRIPT => script.to_owned(),
        count => "...".chars().chain(script.chars().skip(count + 3 - SCRIPT)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The expected values are those of Java's `CRC32` and `BufferedReader`, which Flyway uses.
    #[test]
    fn the_checksum_is_flyway_s_own() {
        for (sql, expected) in [
            ("", 0),
            ("SELECT 1;\n", 78_787_420),
            ("SELECT 1;", 78_787_420),
            ("\u{feff}CREATE TABLE ä (id int);\r\n\r\nSELECT 'x';\rSELECT 2;\n", -1_911_821_319),
            ("CREATE TABLE a (id int);\n", -623_083_431),
        ] {
            assert_eq!(checksum(&Text::InMemory(sql.to_owned())), expected, "{sql:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_as_flyway_cuts_them() {
        assert_eq!(description(&"ä".repeat(200)), "ä".repeat(200));
        assert_eq!(description(&"ä".repeat(201)), format!("{}...", "ä".repeat(197)));
        assert_eq!(
            shortened_at_the_beginning(&"ab".repeat(501)),
            format!("...b{}", "ab".repeat(498))
        );
    }

    proptest! {
        #[test]
        fn line_ends_are_no_edit(sql in "([a-zä; ]|\n){0,40}") {
            let crc = |text: String| checksum(&Text::InMemory(text));
            prop_assert_eq!(crc(sql.clone()), crc(sql.replace('\n', "\r\n")));
            prop_assert_eq!(crc(sql.clone()), crc(format!("\u{feff}{sql}\n")));
            prop_assert_ne!(crc(sql.clone()), crc(sql + "x"));
        }
    }
}
