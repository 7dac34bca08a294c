//! Drizzle's `drizzle.__drizzle_migrations` before 1.0, byte for byte.

use super::{Applied, Ledger, Malformed, Names, literal, sha256};
use crate::database::Rows;
use crate::migrate::Key;
use crate::migrate::plan::{OutOfOrder, Policy, Rules};
use crate::migrate::settings::HistoryTableName;
use crate::migrate::source::Migration;

/// `(id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)`: the file's SHA-256 and the
/// journal's `when`. Names are not recorded, nor is the time of application.
#[derive(Debug)]
pub struct Drizzle {
    names: Names,
}

impl Drizzle {
    /// The table of that name, or Drizzle's own default for what was not named.
    pub fn new(name: Option<&HistoryTableName>) -> Self {
        Drizzle { names: Names::new(name, Some("drizzle"), "__drizzle_migrations") }
    }

    fn applied(&self, row: &[Option<String>]) -> Result<Applied, Malformed> {
        let malformed = |why| self.names.malformed(why);
        let [Some(id), Some(hash), created_at] = row else {
            return Err(self.names.out_of_turn());
        };
        let when = created_at.as_deref().and_then(|when| when.parse().ok()).ok_or_else(|| {
            malformed(format!(
                "the row of id {id} has no created_at, for which Drizzle would apply everything again; \
                 set it to the journal's 'when', or delete the row"
            ))
        })?;
        Ok(Applied {
            key: Key::When(when),
            name: format!("with 'when' {when}"),
            checksum: hash.clone(),
            applied_on: None,
            failure: None,
        })
    }
}

impl Ledger for Drizzle {
    fn table(&self) -> &str {
        &self.names.shown
    }

    fn read(&self) -> String {
        format!("SELECT id, hash, created_at FROM {} ORDER BY id", self.names.qualified)
    }

    fn parse(&mut self, results: &[Rows], _: &[Migration]) -> Result<Vec<Applied>, Malformed> {
        results.iter().flatten().map(|row| self.applied(row)).collect()
    }

    fn create(&self) -> Vec<String> {
        self.names.create("(id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)")
    }

    fn record(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "INSERT INTO {} (hash, created_at) VALUES ({}, {})",
            self.names.qualified,
            literal(&sha256(&migration.up.sql)),
            migration.key
        ))
    }

    /// Drizzle knows no way down; a row less is a migration that is pending. Two may have one time.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed> {
        Ok(format!(
            "DELETE FROM {} WHERE created_at = {} AND hash = {}",
            self.names.qualified,
            migration.key,
            literal(&sha256(&migration.up.sql))
        ))
    }

    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool {
        applied.checksum == sha256(&migration.up.sql)
    }

    /// Drizzle compares nothing but the newest time: what is edited, missing or older is nothing to it.
    fn rules(&self) -> Rules {
        Rules {
            edited: Policy::Warn,
            missing: Policy::Warn,
            out_of_order: OutOfOrder::Skip,
            ahead: Policy::Warn,
        }
    }
}
