//! One migration: its SQL and its record in one message, one transaction, one round trip.

use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::diagnose::Diagnosis;
use super::source::Migration;
use crate::config;
use crate::database::{QueryError, Session};
use crate::text;

/// The pauses before a migration that queued too long is tried again double from the first to the
/// last; in between, the readers that queued behind it get through.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Applies migrations in one session.
pub(super) struct Applier<'a> {
    session: &'a Session,
    lock_timeout: Duration,
    retries: u32,
}

/// Why a migration was not applied.
#[derive(Debug)]
pub enum Failure {
    /// The server rejected it.
    Rejected(Box<Diagnosis>),
    /// It could not get its table locks, however often it was tried.
    Blocked {
        /// What the server said last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The connection broke.
    Lost(String),
}

impl<'a> Applier<'a> {
    pub(super) fn new(session: &'a Session, config: &config::Migrate) -> Self {
        Applier {
            session,
            lock_timeout: config.ddl_lock_timeout.unwrap_or_default(),
            retries: config.ddl_retries,
        }
    }

    /// Runs one migration together with `record`, the statement that records it; nothing of it
    /// stays when this fails.
    pub(super) async fn apply(&self, migration: &Migration, record: &str) -> Result<(), Failure> {
        let message = Message::new(migration, record, self.lock_timeout);
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match self.session.execute(&message.text).await {
                Ok(()) => return Ok(()),
                Err(QueryError::Lost(reason)) => return Err(Failure::Lost(reason)),
                Err(QueryError::Server(error)) => error,
            };
            if !is_blocked(&error) {
                return Err(Failure::Rejected(Box::new(message.diagnose(migration, &error))));
            }
            if attempts > self.retries {
                return Err(Failure::Blocked { reason: error.message().to_owned(), attempts });
            }
            self.roll_back().await?;
            tracing::warn!(
                "migration {migration} could not get its table locks ({}); rolled back, trying again in {}",
                error.message(),
                text::duration(pause)
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn roll_back(&self) -> Result<(), Failure> {
        self.session.execute("ROLLBACK").await.map_err(|error| Failure::Lost(error.to_string()))
    }
}

/// `lock_not_available` and `deadlock_detected`: nobody's fault, and worth another try.
fn is_blocked(error: &DbError) -> bool {
    matches!(error.code().code(), "55P03" | "40P01")
}

/// What is sent for one migration, and where in it the file begins.
struct Message {
    text: String,
    /// In characters, as the server counts positions.
    offset: usize,
}

impl Message {
    fn new(migration: &Migration, record: &str, lock_timeout: Duration) -> Self {
        // RESET, because what an earlier migration has SET (a search_path out of pg_dump, most
        // likely) would otherwise leak into this one, when both are pending and only then. A role
        // may inherit timeouts made for web requests: they end here.
        let before = format!(
            "RESET ROLE; RESET ALL; SET statement_timeout = 0; \
             SET idle_in_transaction_session_timeout = 0; SET lock_timeout = {}; BEGIN;\n",
            lock_timeout.as_millis()
        );
        let sql = without_bom(&migration.sql);
        let offset = before.len();
        // The line ends are for a file that ends in a comment, the semicolon for one without.
        Message { text: format!("{before}{sql}\n;\n{record};\nCOMMIT"), offset }
    }

    fn diagnose(&self, migration: &Migration, error: &DbError) -> Diagnosis {
        let position = match error.position() {
            // The server counts from 1.
            Some(ErrorPosition::Original(position)) => {
                (*position as usize).checked_sub(self.offset + 1)
            }
            Some(ErrorPosition::Internal { .. }) | None => None,
        };
        Diagnosis::new(&migration.file, without_bom(&migration.sql), position, error)
    }
}

/// Editors on Windows begin a file with a byte order mark, which the server takes for a syntax error.
fn without_bom(sql: &str) -> &str {
    sql.strip_prefix('\u{feff}').unwrap_or(sql)
}
