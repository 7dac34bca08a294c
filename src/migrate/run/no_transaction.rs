//! Migrations that cannot run in a transaction: their statements run one by one, and the record follows the last. Statements
//! that the file itself puts between `BEGIN` and `COMMIT` are one batch.

use std::fmt;

use tokio_postgres::error::{DbError, ErrorPosition};

use super::concurrent_index::{Index, State};
use super::failure::{Failure, Kept, Reason};
use super::lock::{self, Lock};
use super::message::{DISCARD, Message, Task, check_and_restore, restore};
use super::remedy::ends_the_session;
use super::transactional::{Applier, SendError, diagnose, is_blocked, own_diagnosis, unreadable};
use crate::database::QueryError;
use crate::migrate::error::Error;
use crate::migrate::history::{how_to_resolve, how_to_resolve_down};
use crate::migrate::marks::Direction;
use crate::migrate::sql::location;
use crate::migrate::sql::repeatable::{Repeat, repeat};
use crate::migrate::sql::{End, Kind, Reader, splitter};

/// How many of the kept statements are listed.
const MOST_LISTED: usize = 20;

/// How many characters of a listed statement are shown.
const STATEMENT_LENGTH: usize = 80;

/// The first words of statements that may commit in what they call.
const CALLS: [&str; 2] = ["CALL", "DO"];

/// The first words of statements that call functions.
const QUERIES: [&str; 3] = ["SELECT", "WITH", "EXECUTE"];

/// Statements that are kept or not kept together: one, or those between BEGIN and COMMIT.
#[derive(Default)]
struct Batch {
    statements: Vec<Numbered>,
    kind: Option<Kind>,
    /// It has BEGIN, and not COMMIT yet.
    is_open: bool,
    /// Its BEGIN is the AND CHAIN of the batch before.
    is_chained: bool,
}

/// A statement of the script.
struct Numbered {
    /// From 1.
    number: usize,
    text: String,
    /// In the file, in characters.
    position: usize,
}

impl Batch {
    fn add(&mut self, kind: Kind, statement: Numbered) {
        match kind {
            Kind::Begin => self.is_open = true,
            Kind::End(_) => self.is_open = false,
            Kind::Ordinary | Kind::NoTransaction | Kind::Concurrent => {}
        }
        self.kind = Some(kind);
        self.statements.push(statement);
    }

    fn end(&self) -> Option<End> {
        match self.kind {
            Some(Kind::End(end)) => Some(end),
            _ => None,
        }
    }

    /// The batch after this one.
    fn next(&self) -> Batch {
        let is_chained = self.end().is_some_and(End::chains);
        Batch { is_open: is_chained, is_chained, ..Batch::default() }
    }

    /// When the server's session can run it again.
    fn repeat(&self) -> Repeat {
        match self.statements.as_slice() {
            [only] if !self.is_chained => repeat(&only.text),
            _ => Repeat::AfterError,
        }
    }

    fn message<'m>(&self, task: &'m Task<'m>, applier: &Applier<'_>) -> Message<'m> {
        let mut message = Message::default();
        // In a message of several statements no other statement may be one that needs to be alone.
        let keeps = |text| self.statements.len() > 1 || begins_with_any(text, &QUERIES);
        for Numbered { text, position, .. } in &self.statements {
            if splitter::begins_with(text, &["DISCARD", "ALL"]) {
                // It would release the migration lock.
                message.push(&format!("{};\n{DISCARD};\n", restore(applier.lock_timeout)));
            } else {
                let lock = Some(applier.lock).filter(|_| keeps(text));
                message.add_statements(task, lock, text, *position);
            }
        }
        message
    }

    /// Whether what it calls may release the migration lock.
    fn may_release(&self) -> bool {
        let may = |text| begins_with_any(text, &QUERIES) || begins_with_any(text, &CALLS);
        self.statements.iter().any(|one| may(&one.text))
    }

    fn index(&self) -> Option<Index<'_>> {
        match self.statements.as_slice() {
            [only] => Index::parse(&only.text),
            _ => None,
        }
    }
}

fn begins_with_any(sql: &str, words: &[&str]) -> bool {
    words.iter().any(|word| splitter::begins_with(sql, &[*word]))
}

/// Whether the server rejected the statement itself, before it executed anything.
fn is_not_executed(error: &DbError) -> bool {
    matches!(error.position(), Some(ErrorPosition::Original(_))) && error.where_().is_none()
}

impl Applier<'_> {
    /// Runs the statements of the task one by one.
    ///
    /// # Errors
    /// [`Kept::Halfway`] if some of them were kept.
    pub(super) async fn apply_without_transaction(&self, task: &Task<'_>) -> Result<(), Failure> {
        let alone = std::slice::from_ref(task);
        if let Some(marks) = &task.marks {
            self.execute(task, marks.start()).await.map_err(Failure::nothing_kept)?;
        }
        let mut run = Run { task, done: Vec::new(), in_part: false, finished: false };
        let mut outcome = self.run_all(task, &mut run).await;
        if outcome.is_ok() {
            outcome = self.record(task).await;
        }
        run.finished = true;
        let reason = match outcome {
            Ok(()) => {
                self.clean_up(alone).await;
                return Ok(());
            }
            // The next session continues, or stops at the mark.
            Err(reason @ Reason::Lost(_)) => return Err(Failure::nothing_kept(reason)),
            Err(reason) => reason,
        };
        let kept = match &task.marks {
            Some(marks) if !run.done.is_empty() || run.in_part => {
                self.mark_halfway(task, marks, run.to_string(), &reason).await
            }
            None if !run.done.is_empty() => Kept::Repeatable,
            _ => self.withdraw(alone).await,
        };
        Err(Failure { reason, kept })
    }

    /// Runs all batches, and adds the statements that are kept to `run`.
    async fn run_all(&self, task: &Task<'_>, run: &mut Run<'_>) -> Result<(), Reason> {
        let file = |error| unreadable(task, error);
        let mut reader = Reader::hashed(task.script).map_err(file)?;
        let mut batch = Batch::default();
        let mut number = 0;
        while let Some((kind, text, position)) = reader.next().map_err(file)? {
            number += 1;
            batch.add(kind, Numbered { number, text: text.to_owned(), position });
            if !batch.is_open {
                self.run_batch(task, &batch, run).await?;
                let (may_release, next) = (batch.may_release(), batch.next());
                run.add(std::mem::replace(&mut batch, next));
                if may_release {
                    self.keep_lock(task).await?;
                }
            }
        }
        if !batch.statements.is_empty() {
            // Not done yet: the COMMIT after the record decides whether it is kept.
            self.run_batch(task, &batch, run).await?;
        }
        reader.expect_unchanged().map_err(file)
    }

    /// Runs one batch. Runs it again if it does not get its locks and may be repeated.
    async fn run_batch(
        &self,
        task: &Task<'_>,
        batch: &Batch,
        run: &mut Run<'_>,
    ) -> Result<(), Reason> {
        if let (Some(marks), false, Some(next)) =
            (&task.marks, run.done.is_empty() || batch.is_chained, batch.statements.first())
        {
            // If the script has taken this right from the role, the mark says less.
            let then = format!("it {run}\n  then: statement {} was started", run.describe(next));
            let _ = self.session.execute(&marks.note(&then)).await;
        }
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
            let repeats = batch.repeat() != Repeat::Never;
            run.in_part = !repeats && !is_not_executed(&error);
            if !is_blocked(&error) {
                let (_, diagnosis) = diagnose(&message, done, task, &error);
                return Err(Reason::Rejected(Box::new(diagnosis)));
            }
            if !repeats || batch.is_chained {
                return Err(attempts.give_up(&error));
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
    async fn record(&self, task: &Task<'_>) -> Result<(), Reason> {
        // In a message of its own: the script may have set another encoding, in which the server would read the record.
        self.execute(task, &check_and_restore(self.lock_timeout)).await?;
        // COMMIT, for a transaction that the file has left open.
        self.execute(task, &format!("{}; COMMIT", task.finish())).await?;
        // It is recorded, whatever becomes of the session.
        let _ = self.execute(task, DISCARD).await;
        Ok(())
    }

    /// Runs a statement of premain's own.
    async fn execute(&self, task: &Task<'_>, sql: &str) -> Result<(), Reason> {
        self.session.execute(sql).await.map_err(|error| reason(task, error))
    }
}

fn reason(task: &Task<'_>, error: QueryError) -> Reason {
    match error {
        QueryError::Lost(reason) => Reason::Lost(reason),
        QueryError::Server(error) if ends_the_session(error.code().code()) => {
            Reason::Lost(error.message().to_owned())
        }
        QueryError::Server(error) => Reason::Rejected(Box::new(own_diagnosis(task, &error))),
    }
}

/// What one run of a script has kept so far. Logs that if a signal ends it: the future that applies it is dropped then.
struct Run<'a> {
    task: &'a Task<'a>,
    /// The statements that were kept.
    done: Vec<Numbered>,
    /// Whether the next statement may have been kept in part.
    in_part: bool,
    finished: bool,
}

impl Run<'_> {
    /// The batch was executed.
    fn add(&mut self, batch: Batch) {
        if batch.end().is_some_and(End::undoes) {
            return;
        }
        self.done.extend(
            batch
                .statements
                .into_iter()
                .map(|statement| Numbered { text: shortened(&statement.text), ..statement }),
        );
    }

    /// `2 (line 7): CREATE INDEX CONCURRENTLY orders_by_customer ON orders (customer)`
    fn describe(&self, Numbered { number, text, position }: &Numbered) -> String {
        let text = shortened(text);
        match location::find(&self.task.script.sql, *position) {
            Ok(Some(location)) => format!("{number} (line {}): {text}", location.line),
            _ => format!("{number}: {text}"),
        }
    }
}

impl fmt::Display for Run<'_> {
    /// `runs without a transaction: 1 of its 2 statements were kept`, and which, in lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, total) = (self.done.len(), self.task.survey.statements);
        write!(f, "runs without a transaction: {kept} of its {total} statements were kept")?;
        if self.in_part {
            f.write_str(", and the next one may have been kept in part")?;
        }
        let unlisted = kept.saturating_sub(MOST_LISTED);
        if unlisted > 0 {
            write!(f, "\n  kept: {unlisted} statements")?;
        }
        for statement in &self.done[unlisted..] {
            write!(f, "\n  kept: statement {}", self.describe(statement))?;
        }
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let Run { task, finished, .. } = self;
        if *finished || task.marks.is_none() {
            return;
        }
        let next = match task.direction {
            Direction::Up => how_to_resolve(task.migration.version_argument()),
            Direction::Down => how_to_resolve_down(task.migration.version_argument()),
        };
        tracing::warn!("migration {} was stopped halfway: it {self}; {next}", task.migration);
    }
}

/// A statement in one line, cut if it is long.
fn shortened(statement: &str) -> String {
    let beginning: String = statement.chars().take(4 * STATEMENT_LENGTH).collect();
    let words = beginning.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(STATEMENT_LENGTH).collect();
    if shown.len() < words.len() { shown + "…" } else { shown }
}
