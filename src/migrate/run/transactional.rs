//! Migrations that run in a transaction: script and record in one message, one round trip.

use std::io;
use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::diagnosis::{Diagnosis, Position};
use super::failure::{Failure, Kept, Reason};
use super::lock::Lock;
use super::message::{Committed, Message, Task, Transaction};
use super::watch::Watch;
use crate::database::{QueryError, Session};
use crate::migrate::migration::Migration;
use crate::migrate::settings::Settings;
use crate::retry::{Pauses, Policy};
use crate::text;

/// The pauses before a migration that waited too long for its table locks is retried. The sessions that wait in the queue
/// after it continue meanwhile.
const PAUSES: Policy = Policy::doubling(Duration::from_millis(200), Duration::from_secs(10));

/// Applies migrations in one session.
pub(crate) struct Applier<'a> {
    pub(super) session: &'a Session,
    /// What the session holds.
    pub(super) lock: &'a Lock,
    /// How long to wait for it, should a script release it.
    pub(super) lock_patience: Option<Duration>,
    /// Zero means no limit.
    pub(super) lock_timeout: Duration,
    retries: u32,
}

/// Why not all of a message was executed.
pub(super) enum SendError<'m> {
    /// The server rejected one of its statements.
    Server {
        message: Message<'m>,
        /// How many statements were executed before.
        done: usize,
        error: Box<DbError>,
    },
    /// The connection broke.
    Lost(String),
    /// The large file can no longer be read, or was changed meanwhile.
    File(io::Error),
}

/// The attempts to apply one migration or to run one batch of it.
pub(super) struct Attempts<'a> {
    pub(super) count: u32,
    pub(super) watch: Watch<'a>,
    limit: u32,
    pauses: Pauses,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(session: &'a Session, lock: &'a Lock, settings: &Settings) -> Self {
        Applier {
            session,
            lock,
            lock_patience: settings.lock_timeout,
            lock_timeout: settings.ddl_lock_timeout.unwrap_or_default(),
            retries: settings.ddl_retries,
        }
    }

    /// Runs these scripts and records them, all or nothing, except for what they commit themselves and what cannot run in a
    /// transaction.
    ///
    /// # Errors
    /// The migration that failed, why, and what of it was kept.
    pub(crate) async fn apply<'m>(
        &self,
        tasks: &'m [Task<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        let outcome = self.apply_each(tasks).await;
        let commits_parts = |task: &Task<'_>| {
            task.survey.ends_transaction
                || (task.survey.no_transaction && task.survey.statements > 1)
        };
        outcome.map_err(|(migration, failure)| match failure {
            Failure { reason: reason @ Reason::Lost(_), kept: Kept::AllOrNothing }
                if tasks.iter().any(commits_parts) =>
            {
                (migration, Failure { reason, kept: Kept::Part })
            }
            failure => (migration, failure),
        })
    }

    async fn apply_each<'m>(&self, tasks: &'m [Task<'m>]) -> Result<(), (&'m Migration, Failure)> {
        if !tasks.iter().any(|task| task.survey.no_transaction) {
            return self.apply_together(tasks).await;
        }
        for task in tasks {
            match task.survey.no_transaction {
                true => {
                    let outcome = self.apply_without_transaction(task).await;
                    outcome.map_err(|failure| (task.migration, failure))?;
                }
                false => self.apply_together(std::slice::from_ref(task)).await?,
            }
        }
        Ok(())
    }

    async fn apply_together<'m>(
        &self,
        tasks: &'m [Task<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        let Some(first) = tasks.first() else { return Ok(()) };
        let transaction = Transaction::new(tasks, Some(self.lock), self.lock_timeout);
        let mut attempts = self.attempts(first);
        let failed = |reason| (first.migration, Failure::nothing_kept(reason));
        loop {
            attempts.count += 1;
            let (message, done, error) = match attempts.watch.during(self.send(&transaction)).await
            {
                Ok(()) => return Ok(()),
                Err(SendError::Lost(reason)) => return Err(failed(Reason::Lost(reason))),
                Err(SendError::File(error)) => {
                    let _ = self.settle(&transaction).await;
                    return Err(failed(unreadable(first, error)));
                }
                Err(SendError::Server { message, done, error }) => (message, done, error),
            };
            // A server that ends a session says why, and closes the connection after that.
            let Ok(committed) = self.settle(&transaction).await else {
                return Err(failed(Reason::Lost(error.message().to_owned())));
            };
            if committed == Committed::All {
                return Ok(());
            }
            if committed == Committed::Part || !is_blocked(&error) {
                let (task, diagnosis) = diagnose(&message, done, first, &error);
                let kept = match committed {
                    Committed::Part => Kept::Part,
                    _ => Kept::AllOrNothing,
                };
                let reason = match Lock::is_lost(&error) {
                    true => Reason::Unlocked,
                    false => Reason::Rejected(Box::new(diagnosis)),
                };
                return Err((task.migration, Failure { reason, kept }));
            }
            attempts.pause(first, &error).await.map_err(failed)?;
        }
    }

    async fn send<'m>(&self, transaction: &Transaction<'m>) -> Result<(), SendError<'m>> {
        let mut messages = transaction.messages();
        while let Some(message) = messages.next().map_err(SendError::File)? {
            self.send_one(message).await?;
        }
        Ok(())
    }

    pub(super) async fn send_one<'m>(&self, message: Message<'m>) -> Result<(), SendError<'m>> {
        match self.session.run(&message.text).await {
            Ok(()) => Ok(()),
            Err((_, QueryError::Lost(reason))) => Err(SendError::Lost(reason)),
            Err((done, QueryError::Server(error))) => {
                Err(SendError::Server { message, done, error })
            }
        }
    }

    /// Rolls back what is left of the transaction, and cleans up the session. Returns what was committed nevertheless.
    async fn settle(&self, transaction: &Transaction<'_>) -> Result<Committed, QueryError> {
        Ok(Committed::parse(&self.session.query(&transaction.settle()).await?))
    }

    pub(super) fn attempts(&self, task: &Task<'_>) -> Attempts<'a> {
        let what = format!("migration {}", task.migration);
        let watch = Watch::new(self.session, what, self.lock_timeout);
        Attempts { count: 0, watch, limit: self.retries, pauses: Pauses::new(PAUSES) }
    }
}

impl Attempts<'_> {
    /// Waits before the next attempt; fails if there were enough attempts.
    pub(super) async fn pause(&mut self, task: &Task<'_>, error: &DbError) -> Result<(), Reason> {
        let blockers = self.watch.blockers();
        let message = error.message();
        let how = match error.code().code() {
            "40001" => "conflicted with other transactions",
            _ => "could not get its table locks",
        };
        if self.count > self.limit {
            let (message, blockers) = (message.to_owned(), blockers.to_string());
            return Err(Reason::Blocked { how, message, attempts: self.count, blockers });
        }
        let pause = self.pauses.next();
        tracing::warn!(
            "migration {} {how}{blockers} ({message}); rolled back, retrying in {}",
            task.migration,
            text::duration(pause)
        );
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// `lock_not_available`, `deadlock_detected` and `serialization_failure`: worth another attempt, and not the migration's fault.
pub(super) fn is_blocked(error: &DbError) -> bool {
    matches!(error.code().code(), "55P03" | "40P01" | "40001")
}

pub(super) fn unreadable(task: &Task<'_>, error: io::Error) -> Reason {
    Reason::Unreadable { file: task.script.file.clone(), error }
}

/// The task that the error is about, and what to show of it.
pub(super) fn diagnose<'m>(
    message: &Message<'m>,
    done: usize,
    first: &'m Task<'m>,
    error: &DbError,
) -> (&'m Task<'m>, Diagnosis) {
    // The server counts from 1.
    let word = match error.position() {
        Some(ErrorPosition::Original(position)) => {
            message.position((*position as usize).saturating_sub(1))
        }
        Some(ErrorPosition::Internal { .. }) | None => None,
    };
    let word = word.map(|(task, position)| (task, Position::Word(position)));
    // For `column "nme" does not exist` the server does not always send the position.
    let is_name = error.code().code().starts_with("42") && error.position().is_none();
    let name = error.message().split('"').nth(1).filter(|_| is_name);
    let (task, position) = match word.or_else(|| message.statement(done, name)) {
        Some((task, position)) => (task, Some(position)),
        None => (first, None),
    };
    (task, Diagnosis::new(task.script, position, error))
}
