//! Migrations that cannot run in a transaction: one statement after the other, recorded after the last. Statements that
//! the file puts between `BEGIN` and `COMMIT` stay together.

use super::concurrent_index::{Index, State};
use super::diagnosis::Diagnosis;
use super::failure::{Failure, Halfway, Kept, Reason};
use super::message::{Message, Task, settings};
use super::transactional::{Applier, SendError, diagnose, is_blocked, unreadable};
use crate::database::QueryError;
use crate::migrate::sql::location;
use crate::migrate::sql::quoting::literal;
use crate::migrate::sql::{Kind, Reader};

/// How many of the kept statements are listed.
const LISTED: usize = 20;

/// How many characters of each are shown.
const SHOWN: usize = 80;

/// Statements that are kept or not kept together: one, or those between BEGIN and COMMIT.
#[derive(Default)]
struct Batch {
    /// Each with its position in the file, in characters.
    statements: Vec<(String, usize)>,
    kind: Option<Kind>,
    /// BEGIN was added, and COMMIT was not.
    is_open: bool,
}

impl Batch {
    fn add(&mut self, kind: Kind, text: &str, position: usize) {
        match kind {
            Kind::Begin => self.is_open = true,
            Kind::End => self.is_open = false,
            Kind::Ordinary | Kind::NoTransaction | Kind::Concurrent => {}
        }
        self.kind = Some(kind);
        self.statements.push((text.to_owned(), position));
    }

    fn message<'m>(&self, task: &'m Task<'m>) -> Message<'m> {
        let mut message = Message::default();
        for (text, position) in &self.statements {
            message.add(task, text, *position);
        }
        message
    }

    fn index(&self) -> Option<Index<'_>> {
        match self.statements.as_slice() {
            [(text, _)] => Index::parse(text),
            _ => None,
        }
    }
}

impl Applier<'_> {
    /// Runs the statements of the task one by one.
    ///
    /// # Errors
    /// [`Kept::Statements`] if some of them were kept.
    pub(super) async fn apply_without_transaction(&self, task: &Task<'_>) -> Result<(), Failure> {
        let total = task.survey.statements;
        // A single statement is executed or not, and may be repeated: it cannot stop halfway.
        let marks = task.marks.as_ref().filter(|_| total > 1);
        let start = marks.map(|marks| format!("; {}", marks.start)).unwrap_or_default();
        self.own(task, &format!("{}{start}", settings(self.lock_timeout)))
            .await
            .map_err(Failure::nothing_kept)?;

        let mut guard = Guard { task, marked: marks.is_some(), done: Vec::new(), over: false };
        let outcome = self.run_all(task, &mut guard.done).await;
        guard.over = true;
        let done = &guard.done;
        let reason = match outcome {
            Ok(()) => {
                let record = marks.map_or(&task.record, |marks| &marks.finish);
                // COMMIT, for a transaction that the file has left open.
                match self.own(task, &format!("{record}; COMMIT")).await {
                    Ok(()) => return Ok(()),
                    Err(reason) => reason,
                }
            }
            Err(reason) => reason,
        };
        if done.is_empty() {
            if let Some(marks) = marks {
                // If this fails, too, the mark stays and stops the next start.
                let _ = self.own(task, &format!("ROLLBACK; {}", marks.withdraw)).await;
            }
            return Err(Failure::nothing_kept(reason));
        }
        if total == 1 && matches!(reason, Reason::Lost(_)) {
            // Executed and not recorded: the next attempt finds it executed.
            return Err(Failure::nothing_kept(reason));
        }
        if let Some(marks) = marks {
            let reason = literal(&reason.for_history_table());
            let set = format!("SELECT pg_catalog.set_config('premain.failure', {reason}, false)");
            let _ = self.own(task, &format!("ROLLBACK; {set}; {}", marks.fail)).await;
        }
        let kept = done.len();
        let numbered = done.iter().enumerate().skip(kept.saturating_sub(LISTED));
        let last = numbered.map(|(at, (text, position))| listed(task, at + 1, text, *position));
        let halfway = Halfway {
            kept,
            last: last.collect(),
            total,
            marked: marks.is_some(),
            version: task.migration.version_argument(),
        };
        Err(Failure { reason, kept: Kept::Statements(halfway) })
    }

    /// Runs them all; `done` tells which were kept, and their positions.
    async fn run_all(
        &self,
        task: &Task<'_>,
        done: &mut Vec<(String, usize)>,
    ) -> Result<(), Reason> {
        let file = |error| unreadable(task, error);
        let mut reader = Reader::hashed(task.script).map_err(file)?;
        let mut batch = Batch::default();
        loop {
            let more = match reader.next().map_err(file)? {
                Some((kind, text, position)) => {
                    batch.add(kind, text, position);
                    true
                }
                None => false,
            };
            if batch.statements.is_empty() || (more && batch.is_open) {
                if more {
                    continue;
                }
                break;
            }
            self.run_batch(task, &batch).await?;
            if batch.is_open {
                // The COMMIT of the record decides whether it is kept.
                break;
            }
            let executed = std::mem::take(&mut batch).statements;
            done.extend(executed.iter().map(|(text, at)| (shortened(text), *at)));
        }
        reader.expect_unchanged().map_err(file)
    }

    /// Runs statements that are kept together, and retries them if they do not get their locks.
    async fn run_batch(&self, task: &Task<'_>, batch: &Batch) -> Result<(), Reason> {
        let mut attempts = self.attempts(task);
        loop {
            attempts.count += 1;
            let index = batch.index();
            if let Some(index) = &index
                && self.drop_invalid(task, index, "an earlier run").await? == State::Valid
                && task.survey.statements == 1
                && index.is_the_same(self.session).await
            {
                tracing::info!(
                    "migration {}: its index exists and is valid; an earlier run was interrupted before it was recorded",
                    task.migration
                );
                return Ok(());
            }
            let error = match attempts.watch.during(self.run_once(task, batch)).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let (message, done, error) = match error {
                SendError::Lost(reason) => return Err(Reason::Lost(reason)),
                SendError::File(error) => return Err(unreadable(task, error)),
                SendError::Server { message, done, error } => (message, done, error),
            };
            self.own(task, "ROLLBACK").await?;
            if let Some(index) = &index {
                self.drop_invalid(task, index, "this attempt").await?;
            }
            if !is_blocked(&error) {
                let (_, diagnosis) = diagnose(&message, done, task, &error);
                return Err(Reason::Rejected(Box::new(diagnosis)));
            }
            attempts.pause(task, &error).await?;
        }
    }

    /// Runs them without a lock timeout if they are built CONCURRENTLY: that waits for other sessions but blocks none, and a
    /// timeout would only discard what is built already.
    async fn run_once<'m>(&self, task: &'m Task<'m>, batch: &Batch) -> Result<(), SendError<'m>> {
        let message = batch.message(task);
        let ours = self.lock_timeout.as_millis();
        if batch.kind != Some(Kind::Concurrent) || ours == 0 {
            return self.send_one(message).await;
        }
        // A timeout that the file itself has set stays.
        let change = async |from: u128, to: u128| {
            let sql = format!(
                "SELECT pg_catalog.set_config('lock_timeout', '{to}', false) FROM pg_catalog.pg_settings \
                 WHERE name = 'lock_timeout' AND setting = '{from}'"
            );
            let rows = self.session.query(&sql).await?;
            Ok(rows.first().is_some_and(|rows| !rows.is_empty()))
        };
        let failed = |error| match error {
            QueryError::Lost(reason) => SendError::Lost(reason),
            QueryError::Server(error) => {
                SendError::Server { message: batch.message(task), done: 0, error }
            }
        };
        let changed = change(ours, 0).await.map_err(failed)?;
        let result = self.send_one(message).await;
        if changed && !matches!(result, Err(SendError::Lost(_))) {
            change(0, ours).await.map_err(failed)?;
        }
        result
    }

    /// Drops the index if it is invalid, and tells the state that it was in.
    async fn drop_invalid(
        &self,
        task: &Task<'_>,
        index: &Index<'_>,
        by: &str,
    ) -> Result<State, Reason> {
        let state = index.state(self.session).await.map_err(|error| reason(task, error))?;
        if let State::Invalid { name } = &state {
            tracing::warn!(
                "migration {}: {by} left the invalid index {name} behind; it is dropped",
                task.migration
            );
            let dropped = self.session.execute(&format!("DROP INDEX CONCURRENTLY {name}")).await;
            match dropped {
                Ok(()) => {}
                Err(QueryError::Lost(reason)) => return Err(Reason::Lost(reason)),
                Err(error) => tracing::warn!(
                    "migration {}: the invalid index {name} could not be dropped: {error}",
                    task.migration
                ),
            }
        }
        Ok(state)
    }

    /// Runs a statement of premain's own.
    async fn own(&self, task: &Task<'_>, sql: &str) -> Result<(), Reason> {
        self.session.execute(sql).await.map_err(|error| reason(task, error))
    }
}

fn reason(task: &Task<'_>, error: QueryError) -> Reason {
    match error {
        QueryError::Lost(reason) => Reason::Lost(reason),
        QueryError::Server(error) => {
            Reason::Rejected(Box::new(Diagnosis::new(task.script, None, &error)))
        }
    }
}

/// Logs what was kept if a signal ends the migration: the caller does not wait for an outcome then.
struct Guard<'a> {
    task: &'a Task<'a>,
    /// Whether the history table has a mark of it.
    marked: bool,
    done: Vec<(String, usize)>,
    over: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Guard { task, marked, done, over } = self;
        if *over || (done.is_empty() && !*marked) {
            return;
        }
        let next = match marked {
            true => format!(
                "see what of it is in the database, then run 'premain resolve --rolled-back {0}' to apply it again, or \
                 'premain resolve --applied {0}' if all of it is there",
                task.migration.version_argument()
            ),
            false => "the next start begins with statement 1 again".to_owned(),
        };
        tracing::warn!(
            "migration {} was stopped halfway: it runs without a transaction, and {} of its {} statements were kept; {next}",
            task.migration,
            done.len(),
            task.survey.statements
        );
    }
}

/// `2 (line 7): CREATE INDEX CONCURRENTLY orders_by_customer ON orders (customer)`
fn listed(task: &Task<'_>, number: usize, text: &str, position: usize) -> String {
    match location::find(&task.script.sql, position) {
        Ok(Some(location)) => format!("{number} (line {}): {text}", location.line),
        _ => format!("{number}: {text}"),
    }
}

/// A statement in one line that is not too long.
fn shortened(statement: &str) -> String {
    let beginning: String = statement.chars().take(4 * SHOWN).collect();
    let words = beginning.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(SHOWN).collect();
    if shown.len() < words.len() { shown + "…" } else { shown }
}
