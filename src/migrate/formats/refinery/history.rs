//! refinery's `refinery_schema_history`, byte for byte.

use std::hash::Hasher;
use std::io;

use siphasher::sip::SipHasher13;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::database::Rows;
use crate::migrate::formats::table::{HistoryTableName, Table};
use crate::migrate::history::{History, HistoryTable, Malformed, Recorded};
use crate::migrate::marks::MarksTable;
use crate::migrate::migration::Migration;
use crate::migrate::sql::quoting::literal;
use crate::migrate::version::Version;

/// `(version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))`. With refinery's
/// feature `int8-versions` the version is an int8, and the checksum differs.
#[derive(Debug)]
pub(super) struct RefinerySchemaHistory {
    table: Table,
    width: Width,
}

/// The type of a version, in the table and in the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Int4,
    Int8,
}

impl RefinerySchemaHistory {
    /// The table of that name, or refinery's own.
    pub(super) fn new(name: Option<&HistoryTableName>) -> Self {
        let table = Table::new(name, None, "refinery_schema_history");
        RefinerySchemaHistory { table, width: Width::Int4 }
    }
}

fn recorded(table: &Table, row: &[Option<String>]) -> Result<Recorded, Malformed> {
    let column = |index: usize, name: &str| {
        row.get(index).and_then(Clone::clone).ok_or_else(|| {
            let version = row.first().and_then(Option::as_deref).unwrap_or("?");
            table.malformed(format!(
                "the row of version {version} has no {name}; refinery writes one"
            ))
        })
    };
    let version = column(0, "version")?;
    let name = column(1, "name")?;
    Ok(Recorded {
        title: format!("V{version}__{name}"),
        version: Version::Number(version.parse().map_err(|_| {
            table.malformed(format!("'{version}' is not a version; refinery writes whole numbers"))
        })?),
        name,
        applied_on: Some(column(2, "applied_on")?),
        failure: None,
        checksum: column(3, "checksum")?,
    })
}

impl HistoryTable for RefinerySchemaHistory {
    fn name(&self) -> &str {
        &self.table.shown
    }

    fn marks_table(&self) -> MarksTable {
        self.table.marks_table()
    }

    fn read(&self) -> String {
        let kind = ", (SELECT atttypid::pg_catalog.regtype::text FROM pg_catalog.pg_attribute \
                    WHERE attrelid = c.oid AND attname = 'version')";
        let rows = "SELECT version, name, applied_on, checksum FROM";
        format!("{}; {rows} {} ORDER BY version", self.table.locate(kind), self.table.qualified)
    }

    fn parse(&self, results: &[Rows], _: &[Migration]) -> Result<History, Malformed> {
        let (table, rows) = self.table.rows(results)?;
        let kind = results.first().and_then(|rows| rows.first()?.get(2)?.as_deref());
        let width = if kind == Some("bigint") { Width::Int8 } else { Width::Int4 };
        let recorded = rows.iter().map(|row| recorded(&table, row)).collect::<Result<_, _>>()?;
        Ok(History::new(RefinerySchemaHistory { table, width }, recorded))
    }

    fn create(&self) -> Vec<String> {
        // refinery's own statement, except for white space.
        self.table.create(
            "(version INT4 PRIMARY KEY, name VARCHAR(255), \
             applied_on VARCHAR(255), checksum VARCHAR(255))",
        )
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let file = migration.up.file.display();
        let Some(version) = migration.version.number() else {
            return Err(self.table.malformed(format!("{file} has no number")));
        };
        if self.width == Width::Int4 && i32::try_from(version).is_err() {
            return Err(self.table.malformed(format!(
                "its version column is an int4, which cannot hold {version}; give the file {file} a lower number, or widen \
                 the column to int8 as refinery's int8-versions does"
            )));
        }
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let checksum = checksum(migration, version, self.width)
            .map_err(|error| self.table.malformed(format!("{file}: {error}")))?;
        Ok(self.table.one(&format!(
            "INSERT INTO {} (version, name, applied_on, checksum) VALUES ({version}, {}, {}, '{checksum}')",
            self.table.qualified,
            literal(&migration.name),
            literal(&now),
        )))
    }

    /// refinery has no down migrations; a migration without a row is pending.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        let table = &self.table.qualified;
        let delete = format!("DELETE FROM {table} WHERE version = {}", migration.version);
        Ok(self.table.some(&delete))
    }

    fn is_unchanged(&self, migration: &Migration, recorded: &Recorded) -> bool {
        migration.name == recorded.name
            && migration.version.number().is_some_and(|version| {
                checksum(migration, version, self.width)
                    .is_ok_and(|checksum| recorded.checksum == checksum.to_string())
            })
    }
}

/// SipHash-1-3 with zero keys over the bytes that Rust's `Hash` writes for `(name, version, sql)`.
fn checksum(migration: &Migration, version: i64, width: Width) -> io::Result<u64> {
    let mut hasher = SipHasher13::new();
    hasher.write(migration.name.as_bytes());
    hasher.write_u8(0xff);
    match (width, i32::try_from(version)) {
        (Width::Int4, Ok(version)) => hasher.write(&version.to_le_bytes()),
        _ => hasher.write(&version.to_le_bytes()),
    }
    migration.up.sql.chunks(|chunk| hasher.write(chunk.as_bytes()))?;
    hasher.write_u8(0xff);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::migration::Order;
    use crate::migrate::sql::{Script, Text};

    fn migration(version: i64, name: &str, sql: &str) -> Migration {
        Migration {
            version: Version::Number(version),
            name: name.to_owned(),
            title: format!("V{version}__{name}"),
            order: Order::Strict,
            up: Script::whole(PathBuf::from("x.sql"), sql.to_owned()),
            down: None,
        }
    }

    proptest! {
        #[test]
        fn the_checksum_is_refinery_s_own(version in 0..i32::MAX, name in "\\w{1,20}", sql in "\\PC*\r?\n?") {
            let native = refinery::Migration::unapplied(&format!("V{version}__{name}"), &sql).unwrap();
            prop_assert_eq!(checksum(&migration(version.into(), &name, &sql), version.into(), Width::Int4).unwrap(), native.checksum());
        }

        #[test]
        fn what_was_recorded_is_unchanged(version in any::<i64>(), name in "\\w{1,20}", sql in "\\PC*", wide: bool) {
            let kind = if wide { "bigint" } else { "integer" };
            let table = RefinerySchemaHistory::new(None);
            let mut migration = migration(version, &name, &sql);
            let row = |checksum: u64| vec![
                vec![vec![Some("public.refinery_schema_history".to_owned()), None, Some(kind.to_owned())]],
                vec![vec![Some(version.to_string()), Some(name.clone()), Some("2026".to_owned()), Some(checksum.to_string())]],
            ];
            let width = if wide { Width::Int8 } else { Width::Int4 };
            let history = table.parse(&row(checksum(&migration, version, width).unwrap()), &[]).unwrap();
            let (table, recorded) = (&history.table, &history.recorded[0]);
            prop_assert!(table.is_unchanged(&migration, recorded));
            migration.up.sql = Text::InMemory(sql + " ");
            prop_assert!(!table.is_unchanged(&migration, recorded));
        }
    }

    #[test]
    fn a_malformed_row_is_an_error_that_names_it() {
        let table = RefinerySchemaHistory::new(None);
        let rows =
            vec![Vec::new(), vec![vec![Some("3".to_owned()), Some("x".to_owned()), None, None]]];
        let error = table.parse(&rows, &[]).unwrap_err().to_string();
        assert!(error.contains("version 3") && error.contains("applied_on"), "{error}");
    }

    #[test]
    fn a_version_that_the_table_cannot_hold_is_an_error() {
        let error =
            RefinerySchemaHistory::new(None).record(&migration(1 << 40, "x", "")).unwrap_err();
        assert!(error.why.contains("int4"), "{error}");
    }
}
