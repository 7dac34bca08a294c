//! The history table of plain SQL folders, which is premain's own.

use sha2::Sha256;

use super::{Applied, Attempt, Ledger, Malformed, Names, literal, same_but_line_ends, sha256};
use crate::database::Rows;
use crate::migrate::Key;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;

/// One row a migration: `sha256` is what `sha256sum` prints, `success` is false where a migration
/// without a transaction stopped halfway.
#[derive(Debug)]
pub struct Sql {
    names: Names,
}

impl Sql {
    /// The table of that name, or `premain_migrations` wherever the session creates tables.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Sql { names: Names::new(name, None, "premain_migrations") }
    }

    fn applied(&self, row: &[Option<String>]) -> Result<Applied, Malformed> {
        let [Some(version), Some(name), Some(sha256), Some(applied_at), Some(success)] = row else {
            return Err(self.names.malformed("a row lacks a value; none may be NULL".to_owned()));
        };
        Ok(Applied {
            key: Key::Number(version.parse().map_err(|_| {
                self.names.malformed(format!("'{version}' is no version; they are whole numbers"))
            })?),
            name: name.clone(),
            checksum: sha256.clone(),
            applied_on: Some(applied_at.clone()),
            failure: (success != "t").then(|| {
                format!(
                    "it stopped on {applied_at}; see what of it is in the database, then run \
                     'premain resolve --applied {version}' if all of it is, or \
                     'premain resolve --rolled-back {version}' if nothing is, which lets it be applied again"
                )
            }),
        })
    }
}

impl Ledger for Sql {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        self.names.read("version, name, sha256, applied_at, success", "ORDER BY version")
    }

    fn parse(&mut self, results: &[Rows], _: &[Migration]) -> Result<Vec<Applied>, Malformed> {
        let rows = self.names.rows(results)?;
        rows.iter().map(|row| self.applied(row)).collect()
    }

    fn create(&self) -> Vec<String> {
        self.names.create(
            "(version bigint PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now(), duration interval NOT NULL, \
             applied_by text NOT NULL, success boolean NOT NULL DEFAULT true)",
        )
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "INSERT INTO {} (version, name, sha256, duration, applied_by) VALUES ({}, {}, {}, \
             pg_catalog.clock_timestamp() - pg_catalog.now(), {})",
            self.names.qualified,
            migration.key,
            literal(&migration.name),
            literal(&sha256(&migration.up.sql)),
            literal(concat!("premain ", env!("CARGO_PKG_VERSION")))
        ))
    }

    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!("DELETE FROM {} WHERE version = {}", self.names.qualified, migration.key))
    }

    fn attempt(&self, migration: &Migration) -> Result<Option<Attempt>, Malformed> {
        let (table, version) = (&self.names.qualified, &migration.key);
        Ok(Some(Attempt {
            begin: format!(
                "INSERT INTO {table} (version, name, sha256, duration, applied_by, success) \
                 VALUES ({version}, {}, {}, '0', {}, false)",
                literal(&migration.name),
                literal(&sha256(&migration.up.sql)),
                literal(concat!("premain ", env!("CARGO_PKG_VERSION")))
            ),
            finish: format!(
                "UPDATE {table} SET success = true, applied_at = pg_catalog.now(), \
                 duration = pg_catalog.now() - applied_at WHERE version = {version}"
            ),
            withdraw: format!("DELETE FROM {table} WHERE version = {version} AND NOT success"),
            fail: format!(
                "UPDATE {table} SET duration = pg_catalog.now() - applied_at \
                 WHERE version = {version} AND NOT success"
            ),
        }))
    }

    /// A new name is no edit.
    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        same_but_line_ends::<Sha256>(&migration.up.sql, &applied.checksum, sha256)
    }

    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Fail,
            missing: Policy::Fail,
            out_of_order: OutOfOrder::Apply,
            ahead: Policy::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::source::{Order, Script, Text};

    proptest! {
        #[test]
        fn what_was_recorded_is_unchanged(number: i64, sql in "\\PC*", success: bool) {
            let mut ledger = Sql::new(None);
            let migration = |sql: &str| Migration {
                key: Key::Number(number),
                name: "x".to_owned(),
                order: Order::Strict,
                up: Script::whole(PathBuf::from("1_x.sql"), sql.to_owned()),
                down: None,
            };
            let success_column = if success { "t" } else { "f" };
            let row = [&number.to_string(), "x", &sha256(&Text::Here(sql.clone())), "2026", success_column].map(|text| Some(text.to_owned()));
            let applied = ledger.parse(&[Vec::new(), vec![row.to_vec()]], &[]).unwrap();
            prop_assert_eq!(applied[0].failure.is_none(), success);
            prop_assert_eq!(&applied[0].key, &Key::Number(number));
            prop_assert!(ledger.unchanged(&migration(&sql), &applied[0]));
            prop_assert!(!ledger.unchanged(&migration(&(sql + " ")), &applied[0]));
        }
    }
}
