//! What `--before-migrate` has run for: a table of premain's own beside the history table. It exists from the moment that the
//! hook has succeeded until these migrations are applied, so that a start after a failure does not replace a backup from before
//! it. A corrected file is another migration.

use std::collections::BTreeSet;

use super::formats::HistoryTableName;
use super::marks::drop_if_empty;
use super::migration::Migration;
use super::sql::quoting::{literal, quote};
use crate::database::{QueryError, Session};

/// Its name, in the schema of the history table.
pub(super) const NAME: &str = "premain_before_migrate";

/// The table, for one history table.
pub(super) struct Prepared<'a> {
    session: &'a Session,
    /// For SQL: quoted.
    table: String,
    /// An SQL literal: the name of the history table.
    history_table: String,
}

impl<'a> Prepared<'a> {
    /// The table beside `history_table`, a name as SQL needs it.
    pub(super) fn beside(session: &'a Session, history_table: &str) -> Prepared<'a> {
        let schema = HistoryTableName::parse(history_table).ok().and_then(|name| name.schema);
        let schema = schema.map(|schema| quote(&schema) + ".").unwrap_or_default();
        Prepared {
            session,
            table: format!("{schema}{NAME}"),
            history_table: literal(history_table),
        }
    }

    /// When the hook has run for these migrations, alone or with others. If it has run for others only, forgets that.
    pub(super) async fn covers(&self, pending: &[&Migration]) -> Option<String> {
        let exists = format!("SELECT pg_catalog.to_regclass({})", literal(&self.table));
        self.session.query(&exists).await.ok()?.first()?.first()?.first()?.as_ref()?;
        let sql = format!(
            "SELECT migrations, pg_catalog.date_trunc('second', ran_at) FROM {} WHERE history_table = {}",
            self.table, self.history_table
        );
        let results = self.session.query(&sql).await.ok()?;
        let [Some(known), Some(ran_at)] = results.first()?.first()?.as_slice() else { return None };
        let known: BTreeSet<_> = known.lines().collect();
        if keys(pending).iter().all(|key| known.contains(key.as_str())) {
            return Some(ran_at.clone());
        }
        self.forget().await;
        None
    }

    /// Remembers that the hook has run for these migrations.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) async fn remember(&self, pending: &[&Migration]) -> Result<(), QueryError> {
        let Prepared { table, history_table, .. } = self;
        let migrations = literal(&keys(pending).join("\n"));
        let sql = format!(
            "BEGIN; SET LOCAL client_min_messages = warning; \
             CREATE TABLE IF NOT EXISTS {table} (history_table text PRIMARY KEY, migrations text NOT NULL, \
             ran_at timestamptz NOT NULL DEFAULT now()); \
             INSERT INTO {table} (history_table, migrations) VALUES ({history_table}, {migrations}) \
             ON CONFLICT (history_table) DO UPDATE SET migrations = {migrations}, ran_at = now(); COMMIT"
        );
        let outcome = self.session.execute(&sql).await;
        if outcome.is_err() {
            let _ = self.session.execute("ROLLBACK").await;
        }
        outcome
    }

    /// Forgets it, and drops the table unless there is a row of another history table. If that fails, because a dump is reading
    /// the table, what remains is about migrations that are applied.
    pub(super) async fn forget(&self) {
        let Prepared { table, history_table, .. } = self;
        let delete = format!("DELETE FROM {table} WHERE history_table = {history_table}");
        if self.session.execute(&delete).await.is_ok() {
            drop_if_empty(self.session, table).await;
        }
    }
}

/// What each of these migrations is known by: its title, and what is in its file.
fn keys(migrations: &[&Migration]) -> Vec<String> {
    let key = |migration: &&Migration| format!("{} {migration}", migration.up.sql.sha256());
    migrations.iter().map(key).collect()
}
