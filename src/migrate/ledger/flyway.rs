//! Flyway's `flyway_schema_history`, byte for byte.

use std::collections::BTreeMap;

use super::{Applied, Attempt, Ledger, Malformed, Names, literal, quote};
use crate::database::Rows;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::{Migration, Text};
use crate::migrate::{Dotted, Key};

/// What Flyway adds a sum of the table's name to: "Flyway", more or less.
const LOCK: i64 = 77_431_708_279_161;

/// How long a description may be.
const DESCRIPTION: usize = 200;

/// How long the name of a file may be.
const SCRIPT: usize = 1000;

/// A row for whatever was applied, in the order of `installed_rank`: versions, and repeatables each time
/// anew. `checksum` is a signed CRC-32, `execution_time` is in milliseconds.
#[derive(Debug)]
pub struct Flyway {
    names: Names,
    /// Versions as they stand in the table: `1.0` where the file says `1`.
    versions: Vec<Dotted>,
}

/// A row as it stands in the table.
struct Row<'a> {
    version: Option<Dotted>,
    description: &'a str,
    kind: &'a str,
    checksum: &'a str,
    installed_on: &'a str,
    success: bool,
}

impl Flyway {
    /// The table of that name, or Flyway's own, wherever the session creates tables.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Flyway { names: Names::new(name, None, "flyway_schema_history"), versions: Vec::new() }
    }

    fn row<'a>(&self, row: &'a [Option<String>]) -> Result<Row<'a>, Malformed> {
        let [version, Some(description), Some(kind), checksum, Some(on), Some(success)] = row
        else {
            return Err(self.names.out_of_turn());
        };
        let version = version.as_deref().map(|version| {
            Dotted::parse(version).ok_or_else(|| {
                self.names.malformed(format!(
                    "'{version}' is no version; Flyway writes numbers with dots between them"
                ))
            })
        });
        Ok(Row {
            version: version.transpose()?,
            description,
            kind,
            checksum: checksum.as_deref().unwrap_or_default(),
            installed_on: on,
            success: success == "t",
        })
    }

    fn insert(&self, migration: &Migration, milliseconds: &str, success: bool) -> String {
        let version = match &migration.key {
            Key::Dotted(Dotted(version)) => literal(version),
            _ => "NULL".to_owned(),
        };
        let script = migration.up.file.file_name().unwrap_or_default().to_string_lossy();
        format!(
            "INSERT INTO {0} (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success) \
             VALUES ((SELECT coalesce(max(installed_rank), 0) + 1 FROM {0}), {version}, {1}, 'SQL', {2}, {3}, current_user, {milliseconds}, {success})",
            self.names.qualified,
            literal(&description(&migration.name)),
            literal(&shortened_in_front(&script)),
            checksum(&migration.up.sql),
        )
    }

    /// Which rows are of `migration`, as an SQL condition.
    fn rows_of(&self, migration: &Migration) -> String {
        match &migration.key {
            Key::Dotted(version) => {
                let recorded = self.versions.iter().find(|recorded| *recorded == version);
                format!("version = {}", literal(&recorded.unwrap_or(version).0))
            }
            _ => format!(
                "version IS NULL AND type = 'SQL' AND description = {}",
                literal(&description(&migration.name))
            ),
        }
    }
}

impl Ledger for Flyway {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        let columns = "version, description, type, checksum, installed_on, success";
        self.names.read(columns, "ORDER BY installed_rank")
    }

    /// The last row of a version, or of a repeatable, counts. A repeatable whose file is another one by
    /// now is not applied: that is what it is for.
    fn parse(
        &mut self,
        results: &[Rows],
        on_disk: &[Migration],
    ) -> Result<Vec<Applied>, Malformed> {
        let rows = self.names.rows(results)?;
        self.versions.clear();
        let (mut applied, mut baseline) = (BTreeMap::new(), None);
        for row in rows {
            let row = self.row(row)?;
            let version = row.version.clone();
            let key = match version.clone() {
                Some(version) => Key::Dotted(version),
                None => Key::Repeatable(row.description.to_owned()),
            };
            match row.kind {
                // Which schemas Flyway created.
                "SCHEMA" => continue,
                "BASELINE" => {
                    baseline = version.map(|version| (version, row.installed_on.to_owned()));
                    continue;
                }
                // `flyway repair` of what has no file any more, and `flyway undo`.
                "DELETE" => {
                    applied.remove(&key);
                    continue;
                }
                kind if kind.starts_with("UNDO") => {
                    applied.remove(&key);
                    continue;
                }
                _ => {}
            }
            self.versions.extend(version);
            let failure = (!row.success).then(|| {
                format!(
                    "it stopped on {}; see what of it is in the database, then run \
                     'premain resolve --applied {key}' if all of it is, or '--rolled-back {key}' \
                     if nothing is, which lets it be applied again",
                    row.installed_on
                )
            });
            let file = on_disk.iter().find(|file| file.key == key);
            let outdated = key.is_repeatable()
                && file.is_some_and(|file| checksum(&file.up.sql).to_string() != row.checksum);
            let name = row.description.to_owned();
            let (checksum, applied_on) =
                (row.checksum.to_owned(), Some(row.installed_on.to_owned()));
            // What was recorded of it before is outdated too.
            applied.remove(&key);
            if !outdated || failure.is_some() {
                let row = Applied { key: key.clone(), name, checksum, applied_on, failure };
                applied.insert(key, row);
            }
        }
        // What a baseline stands for was never recorded, and Flyway compares nothing of it.
        if let Some((baseline, on)) = baseline {
            let below = on_disk
                .iter()
                .filter(|file| matches!(&file.key, Key::Dotted(version) if *version <= baseline));
            for file in below {
                applied.entry(file.key.clone()).or_insert_with(|| Applied {
                    key: file.key.clone(),
                    name: description(&file.name),
                    checksum: checksum(&file.up.sql).to_string(),
                    applied_on: Some(on.clone()),
                    failure: None,
                });
            }
        }
        Ok(applied.into_values().collect())
    }

    fn create(&self) -> Vec<String> {
        let mut statements = self.names.create(&format!(
            "(installed_rank INT NOT NULL, version VARCHAR(50), description VARCHAR(200) NOT NULL, \
             type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL, checksum INTEGER, \
             installed_by VARCHAR(100) NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT now(), \
             execution_time INTEGER NOT NULL, success BOOLEAN NOT NULL, \
             CONSTRAINT {} PRIMARY KEY (installed_rank))",
            quote(&format!("{}_pk", self.names.local))
        ));
        statements.push(format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} (success)",
            quote(&format!("{}_s_idx", self.names.local)),
            self.names.qualified
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

    /// Also the row that a way down of the paid edition left.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!("DELETE FROM {} WHERE {}", self.names.qualified, self.rows_of(migration)))
    }

    /// Flyway itself writes the row of a failure where nothing rolls it back.
    fn attempt(&self, migration: &Migration) -> Result<Option<Attempt>, Malformed> {
        let table = &self.names.qualified;
        let row = format!("{} AND NOT success", self.rows_of(migration));
        let milliseconds =
            "(extract(epoch FROM pg_catalog.now()::timestamp - installed_on) * 1000)::int";
        Ok(Some(Attempt {
            begin: self.insert(migration, "0", false),
            finish: format!(
                "UPDATE {table} SET success = true, installed_on = pg_catalog.now(), \
                 execution_time = {milliseconds} WHERE {row}"
            ),
            withdraw: format!("DELETE FROM {table} WHERE {row}"),
            fail: format!("UPDATE {table} SET execution_time = {milliseconds} WHERE {row}"),
        }))
    }

    /// Flyway takes another description for an edit too.
    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        applied.checksum == checksum(&migration.up.sql).to_string()
            && applied.name == description(&migration.name)
    }

    /// As `flyway migrate` validates before it begins.
    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Fail,
            missing: Policy::Fail,
            out_of_order: OutOfOrder::Fail,
            ahead: Policy::Warn,
        }
    }

    /// The sum is that of `"schema"."table"` by `String.hashCode` of Java.
    fn native_locks(&self) -> Vec<String> {
        let schema = self.names.schema();
        let table = literal(&quote(&self.names.local));
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

/// The CRC-32 of the lines, without what ends them and without a byte order mark. 0 where the file is
/// gone by now: sending it will say so.
fn checksum(text: &Text) -> i32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut first = true;
    let read = text.pieces(|piece| {
        let piece = piece.strip_prefix('\u{feff}').filter(|_| first).unwrap_or(piece);
        first = false;
        piece.split(['\r', '\n']).for_each(|line| hasher.update(line.as_bytes()));
    });
    read.map_or(0, |()| hasher.finalize().cast_signed())
}

/// What the table can hold of a description.
fn description(name: &str) -> String {
    match name.chars().count() {
        0..=DESCRIPTION => name.to_owned(),
        _ => name.chars().take(DESCRIPTION - 3).chain("...".chars()).collect(),
    }
}

/// What the table can hold of a file's name.
fn shortened_in_front(script: &str) -> String {
    match script.chars().count() {
        0..=SCRIPT => script.to_owned(),
        count => "...".chars().chain(script.chars().skip(count + 3 - SCRIPT)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Java's own `CRC32` and `BufferedReader` make of them, as Flyway uses them.
    #[test]
    fn the_checksum_is_flyway_s_own() {
        for (sql, expected) in [
            ("", 0),
            ("SELECT 1;\n", 78_787_420),
            ("SELECT 1;", 78_787_420),
            ("\u{feff}CREATE TABLE ä (id int);\r\n\r\nSELECT 'x';\rSELECT 2;\n", -1_911_821_319),
            ("CREATE TABLE a (id int);\n", -623_083_431),
        ] {
            assert_eq!(checksum(&Text::Here(sql.to_owned())), expected, "{sql:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_as_flyway_cuts_it() {
        assert_eq!(description(&"ä".repeat(200)), "ä".repeat(200));
        assert_eq!(description(&"ä".repeat(201)), format!("{}...", "ä".repeat(197)));
        assert_eq!(shortened_in_front(&"ab".repeat(501)), format!("...b{}", "ab".repeat(498)));
    }

    proptest! {
        #[test]
        fn line_ends_are_no_edit(sql in "([a-zä; ]|\n){0,40}") {
            let crc = |text: String| checksum(&Text::Here(text));
            prop_assert_eq!(crc(sql.clone()), crc(sql.replace('\n', "\r\n")));
            prop_assert_eq!(crc(sql.clone()), crc(format!("\u{feff}{sql}\n")));
            prop_assert_ne!(crc(sql.clone()), crc(sql + "x"));
        }
    }
}
