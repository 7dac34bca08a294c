//! Migrations that cannot run in a transaction: their statements run one by one, and the record follows the last. Statements
//! that the file itself puts between `BEGIN` and `COMMIT` are one batch.

use super::concurrent_index::{Index, State};
use super::diagnosis::Diagnosis;
use super::failure::{Failure, Halfway, Kept, Reason};
use super::lock::{self, Lock};
use super::message::{DISCARD, Message, Task, restore};
use super::transactional::{Applier, SendError, diagnose, is_blocked, unreadable};
use crate::database::QueryError;
use crate::migrate::error::Error;
use crate::migrate::history::how_to_resolve;
use crate::migrate::sql::location;
use crate::migrate::sql::quoting::literal;
use crate::migrate::sql::{Kind, Reader, splitter};

/// How many of the kept statements are listed.
const MOST_LISTED: usize = 20;

/// How many characters of a listed statement are shown.
const STATEMENT_LENGTH: usize = 80;

/// The first words of statements that may commit in what they call.
const CALLS: [&str; 2] = ["CALL", "DO"];

/// Statements that are kept or not kept together: one, or those between BEGIN and COMMIT.
#[derive(Default)]
struct Batch {
    /// Each with its position in the file, in characters.
    statements: Vec<(String, usize)>,
    kind: Option<Kind>,
    /// It has BEGIN, and not COMMIT yet.
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

    fn message<'m>(&self, task: &'m Task<'m>, applier: &Applier<'_>) -> Message<'m> {
        let mut message = Message::default();
        // What they call may commit, which a message of several statements does not allow.
        let calls = |text| CALLS.iter().any(|word| splitter::begins_with(text, &[*word]));
        for (text, position) in &self.statements {
            if splitter::begins_with(text, &["DISCARD", "ALL"]) {
                // It would release the migration lock.
                message.push(&format!("{};\n{DISCARD};\n", restore(applier.lock_timeout)));
            } else {
                let lock = Some(applier.lock).filter(|_| !calls(text));
                message.add_statements(task, lock, text, *position);
            }
        }
        message
    }

    /// Whether what it calls may release the migration lock.
    fn may_release(&self) -> bool {
        let words = ["SELECT", "WITH", "EXECUTE"];
        let words = words.iter().chain(&CALLS);
        let mut statements = self.statements.iter();
        statements.any(|(text, _)| words.clone().any(|word| splitter::begins_with(text, &[*word])))
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
        // A single statement cannot stop halfway, and may be repeated.
        let marks = task.marks.as_ref().filter(|_| total > 1);
        if let Some(marks) = marks {
            self.execute(task, &marks.start).await.map_err(Failure::nothing_kept)?;
        }

        let mut guard = Guard { task, marked: marks.is_some(), done: Vec::new(), finished: false };
        let outcome = self.run_all(task, &mut guard.done).await;
        guard.finished = true;
        let done = &guard.done;
        let reason = match outcome {
            Ok(()) => {
                let record = marks.map_or(&task.record, |marks| &marks.finish);
                match self.record(task, record).await {
                    Ok(()) => return Ok(()),
                    Err(reason) => reason,
                }
            }
            Err(reason) => reason,
        };
        let restore = format!("ROLLBACK; {}", restore(self.lock_timeout));
        if done.is_empty() {
            if let Some(marks) = marks {
                // If this fails as well, the mark remains, and the next start stops at it.
                let _ = self.execute(task, &format!("{restore}; {}", marks.withdraw)).await;
            }
            return Err(Failure::nothing_kept(reason));
        }
        if total == 1 && matches!(reason, Reason::Lost(_)) {
            // It was executed, and not recorded: the next attempt will notice.
            return Err(Failure::nothing_kept(reason));
        }
        if let Some(marks) = marks {
            let reason = literal(&reason.for_history_table());
            let set = format!("SELECT pg_catalog.set_config('premain.failure', {reason}, false)");
            let _ = self.execute(task, &format!("{restore}; {set}; {}", marks.fail)).await;
        }
        let kept = done.len();
        let numbered = done.iter().enumerate().skip(kept.saturating_sub(MOST_LISTED));
        let last = numbered.map(|(at, (text, position))| describe(task, at + 1, text, *position));
        let halfway = Halfway {
            kept,
            last: last.collect(),
            total,
            marked: marks.is_some(),
            version: task.migration.version_argument(),
        };
        Err(Failure { reason, kept: Kept::Statements(halfway) })
    }

    /// Runs all batches, and adds the statements that are kept to `done`, each with its position in the file.
    async fn run_all(
        &self,
        task: &Task<'_>,
        done: &mut Vec<(String, usize)>,
    ) -> Result<(), Reason> {
        let file = |error| unreadable(task, error);
        let mut reader = Reader::hashed(task.script).map_err(file)?;
        let mut batch = Batch::default();
        while let Some((kind, text, position)) = reader.next().map_err(file)? {
            batch.add(kind, text, position);
            if !batch.is_open {
                self.run_batch(task, &batch).await?;
                if batch.may_release() {
                    self.keep_lock(task).await?;
                }
                let executed = std::mem::take(&mut batch).statements;
                done.extend(executed.iter().map(|(text, at)| (shortened(text), *at)));
            }
        }
        if batch.is_open {
            // Not done yet: the COMMIT after the record decides whether it is kept.
            self.run_batch(task, &batch).await?;
        }
        reader.expect_unchanged().map_err(file)
    }

    /// Runs one batch, and retries it if it does not get its locks.
    async fn run_batch(&self, task: &Task<'_>, batch: &Batch) -> Result<(), Reason> {
        let mut attempts = self.attempts(task);
        loop {
            attempts.count += 1;
            let index = batch.index();
            if let Some(index) = &index
                && self.drop_invalid(task, index, "an earlier run").await? == State::Valid
                && task.survey.statements == 1
                && index.matches_existing(self.session).await
            {
                tracing::info!(
                    "migration {}: its index exists and is valid; an earlier run was interrupted before it was recorded",
                    task.migration
                );
                return Ok(());
            }
            let attempt = attempts.watch.during(self.run_once(task, batch)).await;
            let (message, done, error) = match attempt {
                Ok(()) => return Ok(()),
                Err(SendError::Lost(reason)) => return Err(Reason::Lost(reason)),
                Err(SendError::File(error)) => return Err(unreadable(task, error)),
                Err(SendError::Server { message, done, error }) => (message, done, error),
            };
            self.execute(task, "ROLLBACK").await?;
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

    /// Runs a batch once; without a lock timeout if it is CONCURRENTLY: that waits for other sessions but blocks none, and a
    /// timeout would only discard what is built already.
    async fn run_once<'m>(&self, task: &'m Task<'m>, batch: &Batch) -> Result<(), SendError<'m>> {
        let message = batch.message(task, self);
        let ours = self.lock_timeout.as_millis();
        if batch.kind != Some(Kind::Concurrent) || ours == 0 {
            return self.send_one(message).await;
        }
        // A timeout that the file itself has set remains.
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
                SendError::Server { message: batch.message(task, self), done: 0, error }
            }
        };
        let changed = change(ours, 0).await.map_err(failed)?;
        let result = self.send_one(message).await;
        if changed && !matches!(result, Err(SendError::Lost(_))) {
            change(0, ours).await.map_err(failed)?;
        }
        result
    }

    /// Drops the index if it is invalid. Returns the state that it was in.
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

    /// Takes the lock again if the script has released it.
    async fn keep_lock(&self, task: &Task<'_>) -> Result<(), Reason> {
        let results = self.session.query(&format!("SELECT {}", Lock::is_held())).await;
        let results = results.map_err(|error| reason(task, error))?;
        let held = results.first().and_then(|rows| rows.first()?.first()?.as_deref());
        if held == Some("t") {
            return Ok(());
        }
        tracing::warn!("migration {} released the migration lock; taking it again", task.migration);
        lock::acquire(self.session, self.lock, self.lock_patience).await.map_err(
            |error| match error {
                Error::Statement { error, .. } => reason(task, error),
                _ => Reason::Unlocked,
            },
        )
    }

    /// Writes the record with the settings that the session had before the script, and cleans up the session.
    async fn record(&self, task: &Task<'_>, record: &str) -> Result<(), Reason> {
        // In a message of its own: the script may have set another encoding, in which the server would read the record.
        self.execute(task, &restore(self.lock_timeout)).await?;
        // COMMIT, for a transaction that the file has left open.
        self.execute(task, &format!("{record}; COMMIT")).await?;
        self.execute(task, DISCARD).await
    }

    /// Runs a statement of premain's own.
    async fn execute(&self, task: &Task<'_>, sql: &str) -> Result<(), Reason> {
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

/// Logs what was kept if a signal ends the migration: the future that applies it is dropped then.
struct Guard<'a> {
    task: &'a Task<'a>,
    /// Whether the history table marks it as started.
    marked: bool,
    done: Vec<(String, usize)>,
    finished: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Guard { task, marked, done, finished } = self;
        if *finished || (done.is_empty() && !*marked) {
            return;
        }
        let next = match marked {
            true => how_to_resolve(task.migration.version_argument()),
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
fn describe(task: &Task<'_>, number: usize, text: &str, position: usize) -> String {
    match location::find(&task.script.sql, position) {
        Ok(Some(location)) => format!("{number} (line {}): {text}", location.line),
        _ => format!("{number}: {text}"),
    }
}

/// A statement in one line, cut if it is long.
fn shortened(statement: &str) -> String {
    let beginning: String = statement.chars().take(4 * STATEMENT_LENGTH).collect();
    let words = beginning.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(STATEMENT_LENGTH).collect();
    if shown.len() < words.len() { shown + "…" } else { shown }
}
