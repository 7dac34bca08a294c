//! A migration that runs without a transaction: one statement after the other, recorded after the
//! last. What its file puts between `BEGIN` and `COMMIT` stays together.

use std::fmt;

use super::apply::{Applier, Failure, Stop, diagnose, is_blocked, unreadable};
use super::diagnose::Diagnosis;
use super::index::{Index, State};
use super::ledger::literal;
use super::source::{Reader, spot};
use super::statements::Kind;
use super::transaction::{Entry, Message, settings};
use crate::database::QueryError;

/// What was kept of a migration that did not go through.
#[derive(Debug)]
pub struct Halfway {
    /// Why it did not.
    pub failure: Failure,
    /// How many statements were kept.
    pub kept: usize,
    /// The last of them: `1 (line 3): CREATE INDEX CONCURRENTLY …`
    pub last: Vec<String>,
    /// How many statements there are.
    pub total: usize,
    /// Whether the history table says so.
    pub recorded: bool,
    /// What `premain resolve` knows the migration by.
    pub key: String,
}

/// How many statements are listed, and how much of each.
const LISTED: usize = 20;
const SHOWN: usize = 80;

/// Statements that are kept or not kept together: one, or what stands between BEGIN and COMMIT.
#[derive(Default)]
struct Unit {
    statements: Vec<(String, usize)>,
    kind: Option<Kind>,
    open: bool,
}

impl Unit {
    fn add(&mut self, kind: Kind, text: &str, place: usize) {
        match kind {
            Kind::Begins => self.open = true,
            Kind::Ends => self.open = false,
            Kind::Ordinary | Kind::Alone | Kind::Concurrent => {}
        }
        self.kind = Some(kind);
        self.statements.push((text.to_owned(), place));
    }

    fn message<'m>(&self, entry: &'m Entry<'m>) -> Message<'m> {
        let mut message = Message::default();
        for (text, place) in &self.statements {
            message.piece(entry, text, *place);
        }
        message
    }

    fn index(&self) -> Option<Index<'_>> {
        match self.statements.as_slice() {
            [(text, _)] => Index::of(text),
            _ => None,
        }
    }
}

impl Applier<'_> {
    /// Runs the entry's statements one by one.
    ///
    /// # Errors
    /// [`Failure::Halfway`] where something of it was kept.
    pub(super) async fn apply_apart(&self, entry: &Entry<'_>) -> Result<(), Failure> {
        let total = entry.survey.statements;
        // One statement is done or not done, and may be tried again: there is no halfway to record.
        let attempt = entry.attempt.as_ref().filter(|_| total > 1);
        let begin = attempt.map(|attempt| format!("; {}", attempt.begin)).unwrap_or_default();
        self.own(entry, &format!("{}{begin}", settings(self.lock_timeout))).await?;

        let mut guard = Guard { entry, recorded: attempt.is_some(), done: Vec::new(), over: false };
        let outcome = self.run_all(entry, &mut guard.done).await;
        guard.over = true;
        let done = &guard.done;
        let failure = match outcome {
            Ok(()) => {
                let record = attempt.map_or(&entry.record, |attempt| &attempt.finish);
                // COMMIT, for what the file has left open.
                match self.own(entry, &format!("{record}; COMMIT")).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        if done.is_empty() {
            if let Some(attempt) = attempt {
                // Where this cannot be said either, the row stays and stops the next start.
                let _ = self.own(entry, &format!("ROLLBACK; {}", attempt.withdraw)).await;
            }
            return Err(failure);
        }
        if total == 1 && matches!(failure, Failure::Lost(_)) {
            // Done and not recorded: the next try finds it done.
            return Err(failure);
        }
        if let Some(attempt) = attempt {
            let reason = match &failure {
                Failure::Rejected { diagnosis, .. } => {
                    format!("{}: {}\n{diagnosis}", diagnosis.place, diagnosis.message)
                }
                Failure::Blocked { reason, .. } | Failure::Lost(reason) | Failure::Torn(reason) => {
                    reason.clone()
                }
                Failure::Unreadable { error, .. } => error.to_string(),
                Failure::Halfway(_) => String::new(),
            };
            let reason = literal(&reason);
            let set = format!("SELECT pg_catalog.set_config('premain.failure', {reason}, false)");
            let _ = self.own(entry, &format!("ROLLBACK; {set}; {}", attempt.fail)).await;
        }
        let key = key(entry);
        let (kept, recorded) = (done.len(), attempt.is_some());
        let numbered = done.iter().enumerate().skip(kept.saturating_sub(LISTED));
        let last = numbered.map(|(at, (text, place))| title(entry, at + 1, text, *place)).collect();
        Err(Failure::Halfway(Box::new(Halfway { failure, kept, last, total, recorded, key })))
    }

    /// Runs them, and tells in `done` what is kept, where it begins included.
    async fn run_all(
        &self,
        entry: &Entry<'_>,
        done: &mut Vec<(String, usize)>,
    ) -> Result<(), Failure> {
        let file = |error| unreadable(entry, error);
        let mut reader = Reader::hashed(entry.script).map_err(file)?;
        let mut unit = Unit::default();
        loop {
            let more = match reader.next().map_err(file)? {
                Some((kind, text, place)) => {
                    unit.add(kind, text, place);
                    true
                }
                None => false,
            };
            if unit.statements.is_empty() || (more && unit.open) {
                if more {
                    continue;
                }
                break;
            }
            self.run_unit(entry, &unit).await?;
            if unit.open {
                // Whether it is kept, the record decides.
                break;
            }
            done.extend(
                std::mem::take(&mut unit).statements.iter().map(|(text, at)| (cut(text), *at)),
            );
        }
        reader.expect_unchanged().map_err(file)
    }

    /// Runs statements that are kept together, again where they could not get their locks.
    async fn run_unit(&self, entry: &Entry<'_>, unit: &Unit) -> Result<(), Failure> {
        let mut attempts = self.attempts(entry);
        loop {
            attempts.count += 1;
            let index = unit.index();
            if let Some(index) = &index
                && self.drop_invalid(entry, index, "an earlier run").await? == State::Valid
                && entry.survey.statements == 1
                && index.is_the_same(self.session).await
            {
                tracing::info!(
                    "migration {}: its index is there and valid; an earlier run was interrupted before it was recorded",
                    entry.migration
                );
                return Ok(());
            }
            let stop = match attempts.watch.over(self.run_once(entry, unit)).await? {
                Ok(()) => return Ok(()),
                Err(stop) => stop,
            };
            let (message, done, error) = match stop {
                Stop::Lost(reason) => return Err(Failure::Lost(reason)),
                Stop::File(error) => return Err(unreadable(entry, error)),
                Stop::Server { message, done, error } => (message, done, error),
            };
            self.own(entry, "ROLLBACK").await?;
            if let Some(index) = &index {
                self.drop_invalid(entry, index, "this attempt").await?;
            }
            if !is_blocked(&error) {
                let (_, diagnosis) = diagnose(&message, done, entry, &error);
                let diagnosis = Box::new(diagnosis);
                return Err(Failure::Rejected { diagnosis, kept: false });
            }
            attempts.pause(entry, &error).await?;
        }
    }

    /// What is built concurrently waits for others and makes nobody wait: a timeout would only throw
    /// away what is built already.
    async fn run_once<'m>(
        &self,
        entry: &'m Entry<'m>,
        unit: &Unit,
    ) -> Result<Result<(), Stop<'m>>, Failure> {
        let message = unit.message(entry);
        let ours = self.lock_timeout.as_millis();
        if unit.kind != Some(Kind::Concurrent) || ours == 0 {
            return Ok(self.send_one(message).await);
        }
        let change = async |from: u128, to: u128| {
            let sql = format!(
                "SELECT pg_catalog.set_config('lock_timeout', '{to}', false) FROM pg_catalog.pg_settings \
                 WHERE name = 'lock_timeout' AND setting = '{from}'"
            );
            let rows = self.session.query(&sql).await.map_err(|error| refused(entry, error))?;
            Ok(rows.first().is_some_and(|rows| !rows.is_empty()))
        };
        // One that the file itself has set stays.
        let changed = change(ours, 0).await?;
        let result = self.send_one(message).await;
        if changed && !matches!(result, Err(Stop::Lost(_))) {
            change(0, ours).await?;
        }
        Ok(result)
    }

    /// Drops the index if it is invalid, and tells how it stood.
    async fn drop_invalid(
        &self,
        entry: &Entry<'_>,
        index: &Index<'_>,
        by: &str,
    ) -> Result<State, Failure> {
        let state = index.state(self.session).await.map_err(|error| refused(entry, error))?;
        if let State::Invalid { name } = &state {
            tracing::warn!(
                "migration {}: {by} left the invalid index {name} behind, which is dropped",
                entry.migration
            );
            let dropped = self.session.execute(&format!("DROP INDEX CONCURRENTLY {name}")).await;
            match dropped {
                Ok(()) => {}
                Err(QueryError::Lost(reason)) => return Err(Failure::Lost(reason)),
                Err(error) => tracing::warn!(
                    "migration {}: the invalid index {name} could not be dropped: {error}",
                    entry.migration
                ),
            }
        }
        Ok(state)
    }

    /// A statement of premain's own.
    async fn own(&self, entry: &Entry<'_>, sql: &str) -> Result<(), Failure> {
        self.session.execute(sql).await.map_err(|error| refused(entry, error))
    }
}

fn refused(entry: &Entry<'_>, error: QueryError) -> Failure {
    match error {
        QueryError::Lost(reason) => Failure::Lost(reason),
        QueryError::Server(error) => {
            let diagnosis = Box::new(Diagnosis::new(entry.script, None, &error));
            Failure::Rejected { diagnosis, kept: false }
        }
    }
}

/// Says what was kept, should a signal be the end of it: nobody waits for the outcome then.
struct Guard<'a> {
    entry: &'a Entry<'a>,
    /// Whether the history table says that it began.
    recorded: bool,
    done: Vec<(String, usize)>,
    over: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Guard { entry, recorded, done, over } = self;
        if *over || (done.is_empty() && !*recorded) {
            return;
        }
        let then = match recorded {
            true => format!(
                "; see what of it is there, then 'premain resolve --rolled-back {0}' has it applied again, and \
                 'premain resolve --applied {0}' never",
                key(entry)
            ),
            false => "; the next start begins with statement 1 again".to_owned(),
        };
        tracing::warn!(
            "migration {} is stopped halfway: it runs without a transaction, and {} of its {} statements were kept{then}",
            entry.migration,
            done.len(),
            entry.survey.statements
        );
    }
}

/// What `premain resolve` knows a migration by.
fn key(entry: &Entry<'_>) -> String {
    match entry.migration.key.number() {
        Some(number) => number.to_string(),
        None => entry.migration.name.clone(),
    }
}

/// `2 (line 7): CREATE INDEX CONCURRENTLY orders_by_customer ON orders (customer)`
fn title(entry: &Entry<'_>, number: usize, text: &str, place: usize) -> String {
    match spot::find(&entry.script.sql, place) {
        Ok(Some(spot)) => format!("{number} (line {}): {text}", spot.line),
        _ => format!("{number}: {text}"),
    }
}

/// A statement in one line that is not too long.
fn cut(statement: &str) -> String {
    let beginning: String = statement.chars().take(4 * SHOWN).collect();
    let words = beginning.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(SHOWN).collect();
    if shown.len() < words.len() { shown + "…" } else { shown }
}

impl Halfway {
    /// What stands below the failure itself.
    pub(super) fn explain(&self, f: &mut fmt::Formatter<'_>, migration: &str) -> fmt::Result {
        let Halfway { kept, last, total, recorded, key, .. } = self;
        writeln!(
            f,
            "migration {migration} runs without a transaction: {kept} of its {total} statements were kept"
        )?;
        if last.len() < *kept {
            writeln!(f, "  kept: statements 1 to {}", kept - last.len())?;
        }
        for statement in last {
            writeln!(f, "  kept: statement {statement}")?;
        }
        match recorded {
            true => write!(
                f,
                "undo what was kept and correct the file, then 'premain resolve --rolled-back {key}' has it applied \
                 again; or do the rest by hand, then 'premain resolve --applied {key}'"
            ),
            false => write!(
                f,
                "the history table cannot hold that, and the next start begins with statement 1 again: undo what was \
                 kept and correct the file; or do the rest by hand, then 'premain resolve --applied {key}'"
            ),
        }
    }
}
