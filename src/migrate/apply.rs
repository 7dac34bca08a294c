//! Migrations and their records in one message, one round trip: one transaction.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::apart::Halfway;
use super::diagnose::{Diagnosis, Position};
use super::settings::Settings;
use super::source::Migration;
use super::transaction::{Entry, Message, Transaction};
use super::watch::Watch;
use crate::database::{QueryError, Session};
use crate::text;

/// The pauses before a migration that queued too long is tried again double from the first to the
/// last; in between, the readers that queued behind it get through.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Applies migrations in one session.
pub(super) struct Applier<'a> {
    pub(super) session: &'a Session,
    pub(super) lock_timeout: Duration,
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
        /// Who was in the way: ` behind pid 12 (…)`, or nothing where that is not known.
        behind: String,
    },
    /// The connection broke; the migration is applied and recorded, or neither.
    Lost(String),
    /// The connection broke, and the migration commits parts of itself: nobody knows how many.
    Torn(String),
    /// It runs without a transaction, and some of it was kept.
    Halfway(Box<Halfway>),
    /// Its file cannot be read any more, or is another one by now.
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Why a message is not done.
pub(super) enum Stop<'m> {
    /// The server says so.
    Server {
        message: Message<'m>,
        /// How many of its statements were done.
        done: usize,
        error: Box<DbError>,
    },
    Lost(String),
    File(io::Error),
}

/// How often something was tried; whoever is in the way is seen meanwhile.
pub(super) struct Attempts<'a> {
    pub(super) count: u32,
    pub(super) watch: Watch<'a>,
    limit: u32,
    pause: Duration,
}

impl<'a> Applier<'a> {
    pub(super) fn new(session: &'a Session, config: &Settings) -> Self {
        Applier {
            session,
            lock_timeout: config.ddl_lock_timeout.unwrap_or_default(),
            retries: config.ddl_retries,
        }
    }

    /// Runs these scripts and records them; nothing of them stays when this fails, but what they
    /// committed themselves, or what no transaction allows.
    ///
    /// # Errors
    /// Which one failed, and why.
    pub(super) async fn apply<'m>(
        &self,
        entries: &'m [Entry<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        let outcome = self.apply_as_they_are(entries).await;
        let parts = |entry: &Entry<'_>| {
            entry.survey.ends || (entry.survey.apart && entry.survey.statements > 1)
        };
        outcome.map_err(|(migration, failure)| match failure {
            Failure::Lost(reason) if entries.iter().any(parts) => {
                (migration, Failure::Torn(reason))
            }
            failure => (migration, failure),
        })
    }

    async fn apply_as_they_are<'m>(
        &self,
        entries: &'m [Entry<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        if !entries.iter().any(|entry| entry.survey.apart) {
            return self.apply_together(entries).await;
        }
        for entry in entries {
            match entry.survey.apart {
                true => {
                    let outcome = self.apply_apart(entry).await;
                    outcome.map_err(|failure| (entry.migration, failure))?;
                }
                false => self.apply_together(std::slice::from_ref(entry)).await?,
            }
        }
        Ok(())
    }

    async fn apply_together<'m>(
        &self,
        entries: &'m [Entry<'m>],
    ) -> Result<(), (&'m Migration, Failure)> {
        let Some(first) = entries.first() else { return Ok(()) };
        let transaction = Transaction::new(entries, self.lock_timeout);
        let mut attempts = self.attempts(first);
        loop {
            attempts.count += 1;
            let failed = |failure| (first.migration, failure);
            let stop = match attempts.watch.over(self.send(&transaction)).await {
                Ok(()) => return Ok(()),
                Err(Stop::Lost(reason)) => return Err(failed(Failure::Lost(reason))),
                Err(stop) => stop,
            };
            let kept = self.settle(&transaction).await;
            let (message, done, error) = match stop {
                Stop::Lost(reason) => return Err(failed(Failure::Lost(reason))),
                Stop::File(error) => return Err(failed(unreadable(first, error))),
                Stop::Server { message, done, error } => (message, done, error),
            };
            // A server that ends a session says why, and then is gone.
            let Ok(kept) = kept else {
                return Err(failed(Failure::Lost(error.message().to_owned())));
            };
            if kept || !is_blocked(&error) {
                let (entry, diagnosis) = diagnose(&message, done, first, &error);
                let diagnosis = Box::new(diagnosis);
                return Err((entry.migration, Failure::Rejected { diagnosis, kept }));
            }
            attempts.pause(first, &error).await.map_err(failed)?;
        }
    }

    async fn send<'m>(&self, transaction: &Transaction<'m>) -> Result<(), Stop<'m>> {
        let mut messages = transaction.messages();
        while let Some(message) = messages.next().map_err(Stop::File)? {
            self.send_one(message).await?;
        }
        Ok(())
    }

    pub(super) async fn send_one<'m>(&self, message: Message<'m>) -> Result<(), Stop<'m>> {
        match self.session.run(&message.text).await {
            Ok(()) => Ok(()),
            Err((_, QueryError::Lost(reason))) => Err(Stop::Lost(reason)),
            Err((done, QueryError::Server(error))) => Err(Stop::Server { message, done, error }),
        }
    }

    /// Rolls back what is left, and tells whether something was committed all the same.
    async fn settle(&self, transaction: &Transaction<'_>) -> Result<bool, QueryError> {
        let results = self.session.query(&transaction.settle()).await?;
        let row = results.last().and_then(|rows| rows.first());
        Ok(row.and_then(|row| row.first()?.as_deref()) == Some("t"))
    }

    pub(super) fn attempts(&self, entry: &Entry<'_>) -> Attempts<'a> {
        let what = format!("migration {}", entry.migration);
        let watch = Watch::new(self.session, what, self.lock_timeout);
        Attempts { count: 0, watch, limit: self.retries, pause: FIRST_PAUSE }
    }
}

impl Attempts<'_> {
    /// Lets the others through before another try; fails once there were enough.
    pub(super) async fn pause(
        &mut self,
        entry: &Entry<'_>,
        error: &DbError,
    ) -> Result<(), Failure> {
        let behind = self.watch.behind();
        if self.count > self.limit {
            let reason = error.message().to_owned();
            return Err(Failure::Blocked { reason, attempts: self.count, behind });
        }
        tracing::warn!(
            "migration {} could not get its table locks{behind} ({}); rolled back, trying again in {}",
            entry.migration,
            error.message(),
            text::duration(self.pause)
        );
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        Ok(())
    }
}

/// `lock_not_available` and `deadlock_detected`: nobody's fault, and worth another try.
pub(super) fn is_blocked(error: &DbError) -> bool {
    matches!(error.code().code(), "55P03" | "40P01")
}

pub(super) fn unreadable(entry: &Entry<'_>, error: io::Error) -> Failure {
    Failure::Unreadable { file: entry.script.file.clone(), error }
}

/// The entry that the error is about, and what there is to say about it.
pub(super) fn diagnose<'m>(
    message: &Message<'m>,
    done: usize,
    first: &'m Entry<'m>,
    error: &DbError,
) -> (&'m Entry<'m>, Diagnosis) {
    // The server counts from 1.
    let word = match error.position() {
        Some(ErrorPosition::Original(position)) => {
            message.place((*position as usize).saturating_sub(1))
        }
        Some(ErrorPosition::Internal { .. }) | None => None,
    };
    let word = word.map(|(entry, position)| (entry, Position::Word(position)));
    // Of `column "nme" does not exist` the server does not always know where.
    let is_name = error.code().code().starts_with("42") && error.position().is_none();
    let name = error.message().split('"').nth(1).filter(|_| is_name);
    let (entry, position) = match word.or_else(|| message.statement(done, name)) {
        Some((entry, position)) => (entry, Some(position)),
        None => (first, None),
    };
    (entry, Diagnosis::new(entry.script, position, error))
}
