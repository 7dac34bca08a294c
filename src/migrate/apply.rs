//! One transaction: migrations and their records in one message, one round trip.

use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::diagnose::Diagnosis;
use super::source::Migration;
use super::statements;
use super::transaction::{Entry, Message, Transaction};
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
    Rejected {
        /// What and where.
        diagnosis: Box<Diagnosis>,
        /// Whether the migration had committed a part of itself by then.
        kept: bool,
    },
    /// It could not get its table locks, however often it was tried.
    Blocked {
        /// What the server said last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The connection broke; the migration is applied and recorded, or neither.
    Lost(String),
    /// The connection broke, and the migration commits parts of itself: nobody knows how many.
    Torn(String),
}

impl<'a> Applier<'a> {
    pub(super) fn new(session: &'a Session, config: &config::Migrate) -> Self {
        Applier {
            session,
            lock_timeout: config.ddl_lock_timeout.unwrap_or_default(),
            retries: config.ddl_retries,
        }
    }

    /// Runs these migrations and records them; nothing of them stays when this fails, but what they
    /// committed themselves.
    ///
    /// # Errors
    /// Which one failed, and why.
    pub(super) async fn apply<'m>(
        &self,
        entries: &[Entry<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        let Some(first) = entries.first().map(|entry| entry.migration) else { return Ok(()) };
        let transaction = Transaction::new(entries, self.lock_timeout);
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (message, error) = match self.send(&transaction).await {
                Ok(()) => return Ok(()),
                Err((_, QueryError::Lost(reason))) => return Err((first, lost(entries, reason))),
                Err((message, QueryError::Server(error))) => (message, error),
            };
            // A server that ends a session says why, and then is gone.
            let Ok(kept) = self.settle(&transaction).await else {
                return Err((first, lost(entries, error.message().to_owned())));
            };
            if kept || !is_blocked(&error) {
                let (migration, diagnosis) = diagnose(message, first, &error);
                let diagnosis = Box::new(diagnosis);
                return Err((migration, Failure::Rejected { diagnosis, kept }));
            }
            if attempts > self.retries {
                let reason = error.message().to_owned();
                return Err((first, Failure::Blocked { reason, attempts }));
            }
            tracing::warn!(
                "migration {first} could not get its table locks ({}); rolled back, trying again in {}",
                error.message(),
                text::duration(pause)
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn send<'s, 'm>(
        &self,
        transaction: &'s Transaction<'m>,
    ) -> Result<(), (&'s Message<'m>, QueryError)> {
        for message in &transaction.messages {
            self.session.execute(&message.text).await.map_err(|error| (message, error))?;
        }
        Ok(())
    }

    /// Rolls back what is left, and tells whether something was committed all the same.
    async fn settle(&self, transaction: &Transaction<'_>) -> Result<bool, QueryError> {
        let results = self.session.query(&transaction.settle()).await?;
        let row = results.last().and_then(|rows| rows.first());
        Ok(row.and_then(|row| row.first()?.as_deref()) == Some("t"))
    }
}

fn lost(entries: &[Entry<'_>], reason: String) -> Failure {
    let commits = |entry: &Entry<'_>| statements::end_their_transaction(&entry.migration.up.sql);
    if entries.iter().any(commits) { Failure::Torn(reason) } else { Failure::Lost(reason) }
}

/// `lock_not_available` and `deadlock_detected`: nobody's fault, and worth another try.
fn is_blocked(error: &DbError) -> bool {
    matches!(error.code().code(), "55P03" | "40P01")
}

fn diagnose<'m>(
    message: &Message<'m>,
    first: &'m Migration,
    error: &DbError,
) -> (&'m Migration, Diagnosis) {
    let place = match error.position() {
        // The server counts from 1.
        Some(ErrorPosition::Original(position)) => {
            message.place((*position as usize).saturating_sub(1))
        }
        Some(ErrorPosition::Internal { .. }) | None => None,
    };
    let (migration, position) = match place {
        Some((migration, position)) => (migration, Some(position)),
        None => (first, None),
    };
    (migration, Diagnosis::new(&migration.up, position, error))
}
