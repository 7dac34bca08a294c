//! Migrations that run in a transaction: script and record in one message, one round trip.

use std::io;
use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::diagnosis::{Diagnosis, Position};
use super::failure::{Failure, Halfway, Kept, Reason};
use super::lock::Lock;
use super::message::{Committed, Message, Task, Transaction, restore};
use super::watch::Watch;
use crate::database::{QueryError, Session};
use crate::migrate::history::Marks;
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

    /// Runs these scripts and records them: one script, which may be without a transaction, or several in one transaction.
    ///
    /// # Errors
    /// The migration that failed, why, and what of it was kept.
    pub(crate) async fn apply<'m>(
        &self,
        tasks: &'m [Task<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        match tasks {
            [task] if task.survey.no_transaction => {
                let outcome = self.apply_without_transaction(task).await;
                outcome.map_err(|failure| (task.migration, failure))
            }
            _ => self.apply_together(tasks).await,
        }
    }

    async fn apply_together<'m>(
        &self,
        tasks: &'m [Task<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        let Some(first) = tasks.first() else { return Ok(()) };
        let transaction = Transaction::new(tasks, Some(self.lock), self.lock_timeout);
        let mut attempts = self.attempts(first);
        let lost = |reason| (first.migration, Failure::nothing_kept(Reason::Lost(reason)));
        loop {
            attempts.count += 1;
            let mut ended = false;
            let sent = attempts.watch.during(self.send(&transaction, &mut ended)).await;
            let error = match sent {
                Ok(()) => {
                    self.clean_up(tasks).await;
                    return Ok(());
                }
                Err(SendError::Lost(reason)) => return Err(lost(reason)),
                Err(error) => error,
            };
            let settled = self.settle(&transaction).await;
            let nothing_kept = !ended && matches!(settled, Ok(Committed::Nothing));
            let (task, reason) = match (settled, error) {
                (Ok(Committed::All), _) => {
                    self.clean_up(tasks).await;
                    return Ok(());
                }
                // A server that ends a session says why, and closes the connection after that.
                (Err(_), SendError::Server { error, .. }) => {
                    return Err(lost(error.message().to_owned()));
                }
                (_, SendError::Lost(reason)) => return Err(lost(reason)),
                (_, SendError::File(error)) => (first, unreadable(first, error)),
                (_, SendError::Server { error, .. }) if nothing_kept && is_blocked(&error) => {
                    match attempts.pause(first, &error).await {
                        Ok(()) => continue,
                        Err(reason) => (first, reason),
                    }
                }
                (_, SendError::Server { message, done, error }) => {
                    let (task, diagnosis) = diagnose(&message, done, first, &error);
                    match Lock::is_lost(&error) {
                        true => (task, Reason::Unlocked),
                        false => (task, Reason::Rejected(Box::new(diagnosis))),
                    }
                }
            };
            // A script that ends the transaction itself is alone in it.
            let kept = match first.marks.as_ref().filter(|_| !nothing_kept) {
                Some(marks) => {
                    let what = "ends its transaction itself: what comes before that was kept";
                    self.mark_halfway(first, marks, what.to_owned(), &reason).await
                }
                None => self.withdraw(tasks).await,
            };
            return Err((task.migration, Failure { reason, kept }));
        }
    }

    /// Sends the messages of a transaction. Sets `ended` if a statement was executed that ends a transaction.
    async fn send<'m>(
        &self,
        transaction: &Transaction<'m>,
        ended: &mut bool,
    ) -> Result<(), SendError<'m>> {
        let mut messages = transaction.messages();
        while let Some(message) = messages.next().map_err(SendError::File)? {
            let ends = if transaction.is_marked() { message.ends() } else { Vec::new() };
            let sent = self.send_one(message).await;
            let executed = match &sent {
                Err(SendError::Server { done, .. }) => *done,
                _ => usize::MAX,
            };
            *ended |= ends.iter().any(|at| *at < executed);
            sent?;
        }
        Ok(())
    }

    /// Removes the marks of these tasks, of which nothing was kept.
    pub(super) async fn withdraw(&self, tasks: &[Task<'_>]) -> Kept {
        for marks in tasks.iter().filter_map(|task| task.marks.as_ref()) {
            self.write_mark(&marks.withdraw()).await;
        }
        self.clean_up(tasks).await;
        Kept::AllOrNothing
    }

    /// Adds to the mark what was kept of the task, and why it stopped.
    pub(super) async fn mark_halfway(
        &self,
        task: &Task<'_>,
        marks: &Marks,
        what: String,
        reason: &Reason,
    ) -> Kept {
        let text = format!("it {what}\n  then: {}", reason.in_one_line());
        self.write_mark(&marks.fail(&text)).await;
        let (migration, version) = (task.migration.to_string(), task.migration.version_argument());
        Kept::Halfway(Halfway { migration, what, version })
    }

    /// Changes a mark, with the settings that the session had before the script. If that fails, the mark remains as it is, and
    /// the next start stops at it.
    pub(super) async fn write_mark(&self, sql: &str) {
        let restore = format!("ROLLBACK; {}", restore(self.lock_timeout));
        if self.session.execute(&restore).await.is_ok() {
            let _ = self.session.execute(sql).await;
        }
    }

    /// Drops the table of the marks, unless it has other ones.
    pub(super) async fn clean_up(&self, tasks: &[Task<'_>]) {
        if let Some(marks) = tasks.iter().find_map(|task| task.marks.as_ref()) {
            marks.table().clean_up(self.session).await;
        }
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
    /// There is no further attempt.
    pub(super) fn give_up(&self, error: &DbError) -> Reason {
        let (message, blockers) = (error.message().to_owned(), self.watch.blockers().to_string());
        Reason::Blocked { how: how(error), message, attempts: self.count, blockers }
    }

    /// Waits before the next attempt; fails if there were enough attempts.
    pub(super) async fn pause(&mut self, task: &Task<'_>, error: &DbError) -> Result<(), Reason> {
        if self.count > self.limit {
            return Err(self.give_up(error));
        }
        let blockers = self.watch.blockers();
        let message = error.message();
        let how = how(error);
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

/// What happened to a migration that is blocked.
fn how(error: &DbError) -> &'static str {
    match error.code().code() {
        "40001" => "conflicted with other transactions",
        _ => "could not get its table locks",
    }
}

/// `lock_not_available`, `deadlock_detected` and `serialization_failure`: worth another attempt, and not the migration's fault.
pub(super) fn is_blocked(error: &DbError) -> bool {
    matches!(error.code().code(), "55P03" | "40P01" | "40001")
}

pub(super) fn unreadable(task: &Task<'_>, error: io::Error) -> Reason {
    Reason::Unreadable { file: task.script.file.clone(), error }
}

/// What to show of an error in a statement of premain's own.
pub(super) fn own_diagnosis(task: &Task<'_>, error: &DbError) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(task.script, None, error);
    // feature_not_supported: the server does not say which table has the rule.
    if diagnosis.code == "0A000" {
        let because = format!(", because of a trigger or rule on {}", task.history_table);
        diagnosis.message += &because;
        diagnosis.code = String::new();
    }
    diagnosis
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
    match word.or_else(|| message.statement(done, name)) {
        Some((task, position)) => (task, Diagnosis::new(task.script, Some(position), error)),
        None => (first, own_diagnosis(first, error)),
    }
}
