//! Prisma's `_prisma_migrations`, byte for byte.

use sha2::Sha256;

use super::{Applied, Attempt, Ledger, Malformed, Names, literal, same_but_line_ends, sha256};
use crate::database::Rows;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;
use crate::migrate::{Key, Name};

/// One row an attempt: a name may stand there more than once, as rolled back and as applied.
#[derive(Debug)]
pub struct Prisma {
    names: Names,
}

impl Prisma {
    /// The table of that name, or Prisma's own, wherever the session creates tables.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Prisma { names: Names::new(name, None, "_prisma_migrations") }
    }

    fn id(&self) -> Result<String, Malformed> {
        uuid().map_err(|error| {
            self.names.malformed(format!("no random bytes for the id of a row: {error}"))
        })
    }

    fn applied(&self, row: &[Option<String>]) -> Result<Applied, Malformed> {
        let [Some(name), Some(checksum), Some(started_at), finished_at, logs] = row else {
            return Err(self.names.out_of_turn());
        };
        let failure = finished_at.is_none().then(|| {
            let reason = logs.as_deref().and_then(|logs| logs.lines().find(|line| !line.is_empty()));
            format!(
                "it began on {started_at} and never finished ({}); see what of it is in the database, then run \
                 'premain resolve --applied {name}' if all of it is, or 'premain resolve --rolled-back {name}' \
                 if nothing is, which lets it be applied again",
                reason.unwrap_or("no reason is recorded")
            )
        });
        Ok(Applied {
            key: Key::Name(Name(name.clone())),
            name: name.clone(),
            checksum: checksum.clone(),
            applied_on: Some(finished_at.as_ref().unwrap_or(started_at).clone()),
            failure,
        })
    }
}

impl Ledger for Prisma {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        self.names.read(
            "migration_name, checksum, started_at, finished_at, logs",
            "WHERE rolled_back_at IS NULL ORDER BY started_at",
        )
    }

    fn parse(&mut self, results: &[Rows], _: &[Migration]) -> Result<Vec<Applied>, Malformed> {
        let rows = self.names.rows(results)?;
        rows.iter().map(|row| self.applied(row)).collect()
    }

    fn create(&self) -> Vec<String> {
        self.names.create(
            "(id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, \
             finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, \
             rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ NOT NULL DEFAULT now(), \
             applied_steps_count INTEGER NOT NULL DEFAULT 0)",
        )
    }

    /// As `prisma migrate resolve --applied`: no steps, and logs that are empty.
    fn baseline(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "INSERT INTO {} (id, checksum, started_at, migration_name, finished_at, logs, applied_steps_count) \
             VALUES ({}, {}, pg_catalog.now(), {}, pg_catalog.now(), '', 0)",
            self.names.qualified,
            literal(&self.id()?),
            literal(&sha256(&migration.up.sql)),
            literal(&migration.name)
        ))
    }

    /// Prisma inserts a row, runs the script and updates the row; in one transaction one INSERT
    /// comes to the same.
    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "INSERT INTO {} (id, checksum, started_at, migration_name, finished_at, applied_steps_count) \
             VALUES ({}, {}, pg_catalog.now(), {}, pg_catalog.clock_timestamp(), 1)",
            self.names.qualified,
            literal(&self.id()?),
            literal(&sha256(&migration.up.sql)),
            literal(&migration.name)
        ))
    }

    /// As `prisma migrate resolve --rolled-back`, which keeps the history. Prisma says that of failed
    /// migrations alone, and has no way down; teams that do say it with an UPDATE like this one.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "UPDATE {} SET rolled_back_at = pg_catalog.now() WHERE migration_name = {} AND rolled_back_at IS NULL",
            self.names.qualified,
            literal(&migration.name)
        ))
    }

    /// Prisma's own four turns. The row that is under way is the only one of its name that is neither
    /// finished nor rolled back: another would have stopped us.
    fn attempt(&self, migration: &Migration) -> Result<Option<Attempt>, Malformed> {
        let table = &self.names.qualified;
        let row = format!(
            "WHERE migration_name = {} AND finished_at IS NULL AND rolled_back_at IS NULL",
            literal(&migration.name)
        );
        Ok(Some(Attempt {
            begin: format!(
                "INSERT INTO {table} (id, checksum, started_at, migration_name) \
                 VALUES ({}, {}, pg_catalog.now(), {})",
                literal(&self.id()?),
                literal(&sha256(&migration.up.sql)),
                literal(&migration.name)
            ),
            finish: format!(
                "UPDATE {table} SET finished_at = pg_catalog.now(), applied_steps_count = 1 {row}"
            ),
            withdraw: format!("DELETE FROM {table} {row}"),
            fail: format!(
                "UPDATE {table} SET logs = pg_catalog.current_setting('premain.failure') {row}"
            ),
        }))
    }

    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        same_but_line_ends::<Sha256>(&migration.up.sql, &applied.checksum, sha256)
    }

    /// `prisma migrate deploy` compares names alone.
    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Warn,
            missing: Policy::Warn,
            out_of_order: OutOfOrder::Apply,
            ahead: Policy::Warn,
        }
    }

    /// What `prisma migrate` itself locks.
    fn native_locks(&self) -> Vec<String> {
        vec!["72707369".to_owned()]
    }
}

/// A random one, of version 4.
pub(crate) fn uuid() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{number:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::source::{Order, Script};

    #[test]
    fn ids_are_random_uuids_of_version_4() {
        let id = uuid().unwrap();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(id, uuid().unwrap());
    }

    proptest! {
        #[test]
        fn line_ends_are_no_edit_and_all_else_is(lines in prop::collection::vec("[a-z ]{0,5}", 1..6)) {
            let migration = |sql: String| Migration {
                key: Key::Name(Name("1_x".to_owned())),
                name: "1_x".to_owned(),
                order: Order::Strict,
                up: Script::whole(PathBuf::from("1_x/migration.sql"), sql),
                down: None,
            };
            let ledger = Prisma::new(None);
            let (unix, windows) = (migration(lines.join("\n")), migration(lines.join("\r\n")));
            for (recorded, now) in [(&unix, &windows), (&windows, &unix), (&unix, &unix)] {
                let columns = ["1_x", &sha256(&recorded.up.sql), "2026", "2026"].map(|text| Some(text.to_owned()));
                let row = [&columns[..], &[None]].concat();
                let applied = ledger.applied(&row).unwrap();
                prop_assert!(ledger.unchanged(now, &applied));
                let edited = migration(now.up.sql.here().unwrap().to_owned() + " ");
                prop_assert!(!ledger.unchanged(&edited, &applied));
            }
        }
    }
}
