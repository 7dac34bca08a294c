//! refinery's `refinery_schema_history`, byte for byte.

use std::hash::Hasher;
use std::io;

use siphasher::sip::SipHasher13;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Applied, Ledger, Malformed, Names, literal};
use crate::database::Rows;
use crate::migrate::Key;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;

/// `(version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))`;
/// with refinery's feature `int8-versions` the version is an int8, and the checksum another one.
#[derive(Debug)]
pub struct Refinery {
    names: Names,
    width: Width,
}

/// How wide the version is, in the table and in the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Int4,
    Int8,
}

impl Refinery {
    /// The table of that name, or refinery's own.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Refinery { names: Names::new(name, None, "refinery_schema_history"), width: Width::Int4 }
    }

    fn applied(&self, row: &[Option<String>]) -> Result<Applied, Malformed> {
        let column = |index: usize, name: &str| {
            row.get(index).and_then(Clone::clone).ok_or_else(|| {
                let version = row.first().and_then(Option::as_deref).unwrap_or("?");
                self.names.malformed(format!(
                    "the row of version {version} has no {name}; refinery writes one"
                ))
            })
        };
        let version = column(0, "version")?;
        Ok(Applied {
            key: Key::Number(version.parse().map_err(|_| {
                self.names
                    .malformed(format!("'{version}' is no version; refinery writes whole numbers"))
            })?),
            name: column(1, "name")?,
            applied_on: Some(column(2, "applied_on")?),
            failure: None,
            checksum: column(3, "checksum")?,
        })
    }
}

impl Ledger for Refinery {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        let table = &self.names.qualified;
        format!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), a.atttypid::pg_catalog.regtype::text \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'version' \
             WHERE c.oid = {}::pg_catalog.regclass; \
             SELECT version, name, applied_on, checksum FROM {table} ORDER BY version",
            literal(table)
        )
    }

    fn parse(&mut self, results: &[Rows], _: &[Migration]) -> Result<Vec<Applied>, Malformed> {
        let [table, rows] = results else {
            return Err(self.names.out_of_turn());
        };
        if let Some([Some(qualified), Some(kind)]) = table.first().map(Vec::as_slice) {
            self.names.qualified.clone_from(qualified);
            self.names.shown.clone_from(qualified);
            self.width = if kind == "bigint" { Width::Int8 } else { Width::Int4 };
        }
        rows.iter().map(|row| self.applied(row)).collect()
    }

    fn create(&self) -> Vec<String> {
        // refinery's own statement, white space aside.
        self.names.create(
            "(version INT4 PRIMARY KEY, name VARCHAR(255), \
             applied_on VARCHAR(255), checksum VARCHAR(255))",
        )
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        let Some(version) = migration.key.number() else {
            return Err(self
                .names
                .malformed(format!("{} has no number", migration.up.file.display())));
        };
        if self.width == Width::Int4 && i32::try_from(version).is_err() {
            return Err(self.names.malformed(format!(
                "its version column is an int4, which cannot hold {version}; number the file {} lower, or widen the column to int8 as refinery's int8-versions does",
                migration.up.file.display()
            )));
        }
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        Ok(format!(
            "INSERT INTO {} (version, name, applied_on, checksum) VALUES ({version}, {}, {}, '{}')",
            self.names.qualified,
            literal(&migration.name),
            literal(&now),
            checksum(migration, version, self.width).map_err(|error| {
                self.names.malformed(format!("{}: {error}", migration.up.file.display()))
            })?
        ))
    }

    /// refinery knows no way down; a row less is a migration that is pending.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!("DELETE FROM {} WHERE version = {}", self.names.qualified, migration.key))
    }

    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        migration.name == applied.name
            && migration.key.number().is_some_and(|version| {
                checksum(migration, version, self.width)
                    .is_ok_and(|checksum| applied.checksum == checksum.to_string())
            })
    }

    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Fail,
            missing: Policy::Fail,
            out_of_order: OutOfOrder::Fail,
            ahead: Policy::Warn,
        }
    }
}

/// SipHash-1-3 with zero keys over what Rust's `Hash` feeds it for `(name, version, sql)`.
fn checksum(migration: &Migration, version: i64, width: Width) -> io::Result<u64> {
    let mut hasher = SipHasher13::new();
    hasher.write(migration.name.as_bytes());
    hasher.write_u8(0xff);
    match (width, i32::try_from(version)) {
        (Width::Int4, Ok(version)) => hasher.write(&version.to_le_bytes()),
        _ => hasher.write(&version.to_le_bytes()),
    }
    migration.up.sql.pieces(|piece| hasher.write(piece.as_bytes()))?;
    hasher.write_u8(0xff);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::source::{Order, Script, Text};

    fn migration(version: i64, name: &str, sql: &str) -> Migration {
        Migration {
            key: Key::Number(version),
            name: name.to_owned(),
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
            let mut ledger = Refinery::new(None);
            let mut migration = migration(version, &name, &sql);
            let row = |checksum: u64| vec![
                vec![vec![Some("public.refinery_schema_history".to_owned()), Some(kind.to_owned())]],
                vec![vec![Some(version.to_string()), Some(name.clone()), Some("2026".to_owned()), Some(checksum.to_string())]],
            ];
            let width = if wide { Width::Int8 } else { Width::Int4 };
            let applied = ledger.parse(&row(checksum(&migration, version, width).unwrap()), &[]).unwrap();
            prop_assert!(ledger.unchanged(&migration, &applied[0]));
            migration.up.sql = Text::Here(sql + " ");
            prop_assert!(!ledger.unchanged(&migration, &applied[0]));
        }
    }

    #[test]
    fn a_malformed_row_is_an_error_that_names_it() {
        let mut ledger = Refinery::new(None);
        let rows =
            vec![Vec::new(), vec![vec![Some("3".to_owned()), Some("x".to_owned()), None, None]]];
        let error = ledger.parse(&rows, &[]).unwrap_err().to_string();
        assert!(error.contains("version 3") && error.contains("applied_on"), "{error}");
    }

    #[test]
    fn a_version_that_the_table_cannot_hold_is_an_error() {
        let error = Refinery::new(None).record(&migration(1 << 40, "x", "")).unwrap_err();
        assert!(error.why.contains("int4"), "{error}");
    }
}
