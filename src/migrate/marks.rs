//! The table of premain's own with the migrations that are not one transaction and have not finished. It is beside the history
//! table, and exists only while it has rows. A history table that can express such a mark itself has one as well; then this
//! table only adds what was kept.

use std::fmt;

use super::sql::checked::{writes_one, writes_some};
use super::sql::quoting::literal;
use crate::database::Session;

/// Its name, in the schema of the history table.
pub(super) const NAME: &str = "premain_unfinished";

/// Which script of a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Up => "up",
            Direction::Down => "down",
        })
    }
}

/// The table, for the migrations of one history table.
#[derive(Debug)]
pub(crate) struct MarksTable {
    /// For SQL: quoted.
    qualified: String,
    /// The history table, for SQL.
    beside: String,
    /// An SQL literal: the name of the history table within the schema.
    history_table: String,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) version: String,
    pub(super) title: String,
    pub(super) direction: Direction,
    pub(super) started_at: String,
    /// What was kept, as far as it is known.
    pub(super) kept: String,
}

impl MarksTable {
    /// The table beside the history table `qualified`, whose name within its schema is `local`.
    pub(super) fn beside(qualified: &str, schema: &str, local: &str) -> MarksTable {
        MarksTable {
            qualified: format!("{schema}{NAME}"),
            beside: qualified.to_owned(),
            history_table: literal(local),
        }
    }

    /// The query whether the table exists; fails if the history table does not.
    pub(super) fn exists(&self) -> String {
        format!(
            "SELECT pg_catalog.to_regclass(pg_catalog.format('%I.{NAME}', n.nspname)) IS NOT NULL \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = {}::pg_catalog.regclass",
            literal(&self.beside)
        )
    }

    /// The query for the rows that [`Mark::parse`] parses.
    pub(super) fn read(&self) -> String {
        format!(
            "SELECT version, title, direction, pg_catalog.date_trunc('second', started_at), kept FROM {} \
             WHERE history_table = {} ORDER BY started_at",
            self.qualified, self.history_table
        )
    }

    /// The statements that mark a migration as started. A mark that is there already is not valid any more: it would have
    /// stopped the start.
    pub(super) fn add(
        &self,
        version: &str,
        title: &str,
        direction: Direction,
        kept: &str,
    ) -> String {
        let MarksTable { qualified, history_table, .. } = self;
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {qualified} (history_table text, version text, title text NOT NULL, \
             direction text NOT NULL, started_at timestamptz NOT NULL DEFAULT now(), kept text NOT NULL, \
             PRIMARY KEY (history_table, version))"
        );
        let insert = format!(
            "INSERT INTO {qualified} (history_table, version, title, direction, kept) \
             VALUES ({history_table}, {}, {}, '{direction}', {})",
            literal(version),
            literal(title),
            literal(kept)
        );
        let stale = format!("DELETE FROM {qualified} {}", self.row(version));
        format!("{create}; {stale}; {}", writes_one(qualified, &insert))
    }

    /// The statement that replaces what was kept.
    pub(super) fn note(&self, version: &str, kept: &str) -> String {
        format!("UPDATE {} SET kept = {} {}", self.qualified, literal(kept), self.row(version))
    }

    /// The statement that removes the mark.
    pub(super) fn remove(&self, version: &str) -> String {
        let delete = format!("DELETE FROM {} {}", self.qualified, self.row(version));
        writes_some(&self.qualified, &delete)
    }

    /// Drops the table unless it has a row: a dump is then the one of the native tool. If that fails, because a dump is reading
    /// it, an empty table remains.
    pub(super) async fn clean_up(&self, session: &Session) {
        drop_if_empty(session, &self.qualified).await;
    }

    /// The statement that does the same in a plan.
    pub(super) fn drop_if_empty(&self) -> String {
        let table = &self.qualified;
        format!(
            "DO $premain$ BEGIN IF NOT EXISTS (SELECT FROM {table}) THEN DROP TABLE {table}; END IF; END $premain$"
        )
    }

    fn row(&self, version: &str) -> String {
        format!("WHERE history_table = {} AND version = {}", self.history_table, literal(version))
    }
}

/// Drops a table of premain's own unless it has a row. Not in a DO block: that would load PL/pgSQL into the session, with its
/// settings.
pub(super) async fn drop_if_empty(session: &Session, table: &str) {
    let results = session.query(&format!("SELECT FROM {table} LIMIT 1")).await;
    if matches!(results.as_deref(), Ok([rows]) if rows.is_empty()) {
        let drop = format!("BEGIN; SET LOCAL lock_timeout = '1s'; DROP TABLE {table}; COMMIT");
        if session.execute(&drop).await.is_err() {
            let _ = session.execute("ROLLBACK").await;
        }
    }
}

impl Mark {
    /// The row in the result of [`MarksTable::read`].
    pub(super) fn parse(row: &[Option<String>]) -> Option<Mark> {
        let [Some(version), Some(title), Some(direction), Some(started_at), Some(kept)] = row
        else {
            return None;
        };
        Some(Mark {
            version: version.clone(),
            title: title.clone(),
            direction: if direction == "down" { Direction::Down } else { Direction::Up },
            started_at: started_at.clone(),
            kept: kept.clone(),
        })
    }
}
