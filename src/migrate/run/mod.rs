//! The one loop that applies migrations.

mod activity;
mod concurrent_index;
mod diagnosis;
pub(super) mod failure;
pub(super) mod lock;
pub(super) mod message;
mod no_transaction;
mod pooler;
pub(super) mod remedy;
mod sqlstate;
pub(super) mod transactional;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::drift::Drift;
use super::error::Error;
use super::finding::{Finding, Severity};
use super::history::HistoryTable;
use super::lint;
use super::migration::Migration;
use super::migrator::{Log, Migrator};
use super::plan::Plan;
use super::prepared::Prepared;
use super::source::Source;
use super::sql::{Script, Survey};
use crate::database::{QueryError, Session};
use crate::text;
use message::Task;
use transactional::Applier;

/// How migrating ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing is pending any more.
    UpToDate(Report),
    /// This many migrations are pending, and the server accepts no writes.
    NeedsWrites(usize),
}

/// What migrating did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many migrations this start applied.
    pub(crate) applied: usize,
    /// How many were applied before.
    pub(crate) before: usize,
    /// How long applying took.
    pub(crate) elapsed: Duration,
}

/// How far one start has come, over all of its sessions: a connection that is lost is replaced.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How many migrations this start applied.
    pub(crate) applied: usize,
    /// How long that took.
    elapsed: Duration,
    /// The migrations that were running when the connection was lost: whether they were committed is unknown. Each with
    /// whether it would have been rolled back with its transaction.
    unknown: Vec<(String, bool)>,
    /// Whether a migration released the migration lock, by what it calls: the next attempt keeps it in every statement.
    unlocked: bool,
}

impl Progress {
    /// Logs whether the unknown migrations were committed, now that the history table was read again.
    fn resolve_unknown(&mut self, plan: &Plan<'_>) {
        for (title, has_transaction) in self.unknown.drain(..) {
            if plan.pending.iter().any(|file| file.title == title) {
                let what = match has_transaction {
                    true => "it was rolled back",
                    false => "it runs again, which is safe",
                };
                tracing::info!("migration {title} is not in the history table: {what}");
            } else {
                tracing::info!("migration {title} is in the history table: it was committed");
                self.applied += 1;
            }
        }
    }

    /// The report for `plan`, before any of its pending migrations is applied.
    fn report(&self, plan: &Plan<'_>) -> Report {
        let before = plan.applied.saturating_sub(self.applied);
        Report { applied: self.applied, before, elapsed: self.elapsed }
    }
}

impl Migrator<'_> {
    /// Applies what is pending, exactly once, however many replicas do the same.
    ///
    /// With nothing pending this is one round trip: no lock, no DDL, and a role that may only read the history table is
    /// enough. With n pending migrations it is n + 4 at most, and more for `before` and for what is not one transaction.
    ///
    /// `before` runs once this process holds the lock and is about to apply that many migrations, unless it has run for them
    /// before, in a start that did not apply them all.
    ///
    /// # Errors
    /// [`Error`], or the error of `before`. Nothing of a migration that failed was kept, unless the error says so.
    /// With the same `progress`, another session can continue after a lost connection.
    pub(crate) async fn run<E: From<Error>>(
        &self,
        progress: &mut Progress,
        before: Option<impl AsyncFnOnce(usize) -> Result<(), E>>,
    ) -> Result<Outcome, E> {
        tracing::info!("migrations: {}, history table {}", self.source, self.table.name());

        // Another replica's locks may block any of these statements.
        self.session.set_answer_timeout(self.settings.lock_timeout);
        let history = self.read_history().await?;
        let plan = match self.plan(history.as_ref(), Log::Warnings) {
            // The tool may be running it: then it holds the lock, and has finished when premain gets it.
            Err(Error::Drift(drift)) if drift.iter().any(Drift::may_be_running) => None,
            plan => Some(plan?),
        };
        let mut surveys = Surveys::new();
        if let Some(plan) = plan {
            if plan.pending.is_empty() {
                progress.resolve_unknown(&plan);
                return Ok(Outcome::UpToDate(progress.report(&plan)));
            }
            // What no server can run is reported before anything runs.
            check(self.source, &plan.pending, Log::Warnings)?;
            surveys = survey(plan.pending.iter().map(|migration| &migration.up), self.session)?;
            expect_one_transaction(&plan.groups(self.rules), &surveys)?;
            let state = self.session.server_state().await;
            let state = state.map_err(Error::statement("ask whether the server accepts writes"))?;
            if state.standby || state.read_only {
                return Ok(Outcome::NeedsWrites(plan.pending.len()));
            }
        }

        self.expect_storable_names().await?;
        self.lock().await?;
        // The replica that held the lock may have applied everything. It may also have created the history table in another
        // schema than this session would: a migration that creates a schema of the role's name changes the search path.
        let history = match history.is_some() || self.history_table_exists().await? {
            true => self.read_history_to_migrate().await?,
            false => {
                self.source.hint_at_format(self.settings);
                Some(self.create_and_read_history().await?)
            }
        };
        let plan = self.plan(history.as_ref(), Log::Nothing)?;
        // Not before the lock is taken: until then, what a lost session sent may still be running.
        progress.resolve_unknown(&plan);
        let pending = plan.pending.iter().copied();
        let new: Vec<_> = pending
            .filter(|migration| !surveys.contains_key(migration.up.file.as_path()))
            .collect();
        check(self.source, &new, Log::Warnings)?;
        surveys.extend(survey(new.iter().map(|migration| &migration.up), self.session)?);
        expect_one_transaction(&plan.groups(self.rules), &surveys)?;
        let table = self.table(history.as_ref());
        let prepared = before.is_some().then(|| Prepared::beside(self.session, table.name()));
        if !plan.pending.is_empty() {
            if let (Some(before), Some(prepared)) = (before, &prepared) {
                prepare(prepared, &plan.pending, before).await?;
            }
            if !table.upgrade().is_empty() {
                let what = format!("upgrade the history table {}", table.name());
                let upgraded = self.session.execute(&table.upgrade().join("; ")).await;
                upgraded.map_err(Error::statement(what))?;
                tracing::info!(
                    "migrations: history table {} upgraded, as its tool does",
                    table.name()
                );
            }
        }
        let Report { before, .. } = progress.report(&plan);
        let started = Instant::now();
        let outcome = self.apply_all(&plan, &surveys, table, progress).await;
        progress.elapsed += started.elapsed();
        outcome?;
        if let (Some(prepared), false) = (prepared, plan.pending.is_empty()) {
            prepared.forget().await;
        }
        Ok(Outcome::UpToDate(Report { before, ..progress.report(&plan) }))
    }

    async fn apply_all(
        &self,
        plan: &Plan<'_>,
        surveys: &Surveys<'_>,
        table: &dyn HistoryTable,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let applier = Applier::new(self.session, &self.lock, self.settings);
        let total = plan.pending.len();
        if total > 0 {
            tracing::info!("migrations: {total} of {} pending", total + plan.applied);
        }
        let mut done = 0;
        for group in plan.groups(self.rules) {
            let started = Instant::now();
            let mut tasks = Vec::new();
            for migration in group {
                let mut survey = match surveys.get(migration.up.file.as_path()) {
                    Some(survey) => survey.clone(),
                    None => lint::survey(&migration.up)?,
                };
                survey.releases_locks |= progress.unlocked;
                tasks.push(Task::up(migration, survey, table)?);
            }
            if let Err((migration, failure)) = applier.apply(&tasks).await {
                progress.unlocked |= matches!(failure.reason, failure::Reason::Unlocked);
                if failure.is_lost() {
                    let unknown = tasks
                        .iter()
                        .map(|task| (task.migration.to_string(), !task.survey.no_transaction));
                    progress.unknown = unknown.collect();
                }
                return Err(Error::Failed {
                    migration: migration.to_string(),
                    failure: Box::new(failure),
                    before: plan.pending[..done].iter().map(ToString::to_string).collect(),
                    total,
                });
            }
            done += group.len();
            progress.applied += group.len();
            for migration in group {
                tracing::info!(
                    "migration {migration} applied in {}",
                    text::duration(started.elapsed())
                );
            }
        }
        Ok(())
    }
}

/// Runs `before`, and remembers that, unless it has run for these migrations already.
async fn prepare<E: From<Error>>(
    prepared: &Prepared<'_>,
    pending: &[&Migration],
    before: impl AsyncFnOnce(usize) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(ran_at) = prepared.covers(pending).await {
        tracing::info!(
            "migrations: --before-migrate does not run again: it ran at {ran_at}, and what was pending then is not all applied"
        );
        return Ok(());
    }
    before(pending.len()).await?;
    match prepared.remember(pending).await {
        Err(QueryError::Server(error)) => tracing::warn!(
            "migrations: cannot record that --before-migrate has run ({}); if a migration fails, it runs again at the next start",
            error.message()
        ),
        outcome => {
            outcome.map_err(Error::statement("record that --before-migrate has run"))?;
        }
    }
    Ok(())
}

/// The survey of each script, by its file: a file is surveyed once, because it may be large.
type Surveys<'a> = BTreeMap<&'a Path, Survey>;

/// Fails if one of these pending migrations must not run as it is, and warns of what it most likely was not meant to do.
pub(super) fn check(source: &Source, pending: &[&Migration], log: Log) -> Result<(), Error> {
    let mut errors = Vec::new();
    for migration in pending {
        for finding in lint::up(source, migration, true)? {
            let (at, message) = (finding.at(), &finding.message);
            match finding.severity {
                Severity::Error => errors.push(finding),
                Severity::Warning if log == Log::Warnings => {
                    tracing::warn!("migration {migration}: {at}: {message}");
                }
                Severity::Warning => {}
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::CannotRun(errors)) }
}

/// Surveys these scripts, and fails if one of them can never run.
pub(super) fn survey<'a>(
    scripts: impl Iterator<Item = &'a Script>,
    session: &Session,
) -> Result<Surveys<'a>, Error> {
    let (mut surveys, mut findings) = (Surveys::new(), Vec::new());
    for script in scripts {
        let survey = lint::survey(script)?;
        findings.extend(lint::cannot_run(script, &survey, session.has_backslash_escapes)?);
        surveys.insert(&script.file, survey);
    }
    if findings.is_empty() { Ok(surveys) } else { Err(Error::CannotRun(findings)) }
}

/// Fails if migrations that must be applied all or nothing cannot be one transaction.
pub(super) fn expect_one_transaction(
    groups: &[&[&Migration]],
    surveys: &Surveys<'_>,
) -> Result<(), Error> {
    let ends = |migration: &Migration| {
        let survey = surveys.get(migration.up.file.as_path());
        survey.is_some_and(|survey| survey.no_transaction || survey.ends_transaction)
    };
    let mut findings = Vec::new();
    for group in groups.iter().filter(|group| group.len() > 1) {
        for migration in group.iter().filter(|migration| ends(migration)) {
            let titles: Vec<_> = group.iter().map(ToString::to_string).collect();
            let message = format!(
                "it cannot run in one transaction with the others of {}: once one of them is recorded, Drizzle skips those \
                 after it whose 'when' is not higher; let each 'when' in meta/_journal.json be above the one before it",
                text::list(&titles)
            );
            findings.push(Finding::about_file(Severity::Error, &migration.up.file, message));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Error::CannotRun(findings)) }
}
