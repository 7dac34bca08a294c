//! The one loop that applies migrations.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::adoption;
use super::apply::{Applier, Failure};
use super::error::Error;
use super::ledger::{self, Applied, Ledger};
use super::lock;
use super::plan::{Drift, Plan, Policy, plan};
use super::settings::Settings;
use super::source::{Migration, Script, Source, Survey};
use super::transaction::Entry;
use super::validate;
use crate::database::{QueryError, Session};
use crate::text;

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing is pending any more.
    Done(Report),
    /// This many are pending, and the server takes no writes.
    NeedsWrites(usize),
}

/// What was done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many were applied by us, just now.
    pub applied: usize,
    /// How many files were applied before.
    pub before: usize,
    /// How long applying took.
    pub elapsed: Duration,
}

/// How far one start has come, over all of its sessions: a connection that breaks is no end.
#[derive(Debug, Default)]
pub struct Progress {
    /// How many were applied by us.
    pub applied: usize,
    /// How long that took.
    elapsed: Duration,
    /// Was sent to a server that was lost then; nobody heard what became of it.
    unknown: Vec<String>,
}

impl Progress {
    /// Says what became of what was under way, now that the history table has been read again.
    fn look(&mut self, plan: &Plan<'_>) {
        for title in self.unknown.drain(..) {
            if plan.pending.iter().any(|file| file.to_string() == title) {
                tracing::info!("migration {title} is not in the history table: it was rolled back");
            } else {
                tracing::info!("migration {title} is in the history table: it was committed");
                self.applied += 1;
            }
        }
    }

    /// As `plan` has it, before anything in it was applied.
    fn report(&self, plan: &Plan<'_>) -> Report {
        let before = plan.applied.saturating_sub(self.applied);
        Report { applied: self.applied, before, elapsed: self.elapsed }
    }
}

/// Applies what is pending in `source`, exactly once whoever else tries.
///
/// With nothing pending this is one round trip: no lock, no DDL, and a role that may only read the
/// history table will do. With n pending it is n + 4 at most.
///
/// `before` runs once this process is the one that applies: it holds the lock, and so many are
/// pending.
///
/// # Errors
/// [`Error`]; a migration that failed has left nothing behind. Or that of `before`. With the same
/// `progress`, another session can go on where this one was lost.
pub async fn run<E: From<Error>>(
    session: &Session,
    source: &Source,
    config: &Settings,
    progress: &mut Progress,
    before: impl AsyncFnOnce(usize) -> Result<(), E>,
) -> Result<Outcome, E> {
    let mut ledger = ledger::of(source.format, config);
    tracing::info!("migrations: {source}, history table {}", ledger.table());

    // Another replica's locks may be in the way of any of these statements.
    session.set_answer_timeout(config.lock_timeout);
    let recorded = read(session, source, ledger.as_mut()).await?;
    let rows = recorded.as_deref().unwrap_or_default();
    let plan = match judge(source, rows, ledger.as_ref(), config, Say::Everything) {
        // Somebody may be in the midst of it: then he holds the lock, and has finished when we get it.
        Err(Error::Drift(drift)) if drift.iter().any(Drift::may_pass) => None,
        plan => Some(plan?),
    };
    let mut surveys = Surveys::new();
    if let Some(plan) = plan {
        if plan.pending.is_empty() {
            progress.look(&plan);
            return Ok(Outcome::Done(progress.report(&plan)));
        }
        // What no server can do is said before anything runs.
        surveys = survey(plan.pending.iter().map(|migration| &migration.up))?;
        let state = session
            .server_state()
            .await
            .map_err(Error::refused("ask whether the server takes writes"))?;
        if state.standby || state.read_only {
            return Ok(Outcome::NeedsWrites(plan.pending.len()));
        }
    }

    lock::acquire(session, ledger.native_locks(), config.lock_timeout).await?;
    // Whoever held the lock may have applied them all.
    let recorded = match recorded {
        Some(_) => read(session, source, ledger.as_mut()).await?.unwrap_or_default(),
        None => {
            // Another replica's history table need not be where this session would create one by now:
            // a migration that creates a schema of the role's name has moved that place.
            if adoption::check(session, ledger.as_ref()).await? {
                read(session, source, ledger.as_mut()).await?.unwrap_or_default()
            } else {
                create_and_read(session, source, ledger.as_mut()).await?
            }
        }
    };
    let plan = judge(source, &recorded, ledger.as_ref(), config, Say::OnlyErrors)?;
    // Not sooner: what a lost session sent is still under way as long as that session has the lock.
    progress.look(&plan);
    let scripts = plan.pending.iter().map(|migration| &migration.up);
    let unknown: Vec<_> =
        scripts.filter(|script| !surveys.contains_key(script.file.as_path())).collect();
    surveys.extend(survey(unknown.into_iter())?);
    if !plan.pending.is_empty() {
        before(plan.pending.len()).await?;
    }
    if !plan.pending.is_empty() && !ledger.upgrade().is_empty() {
        let what = format!("upgrade the history table {}", ledger.table());
        session.execute(&ledger.upgrade().join("; ")).await.map_err(Error::refused(&what))?;
        tracing::info!("migrations: history table {} upgraded, as its tool does", ledger.table());
    }
    let Report { before, .. } = progress.report(&plan);
    let began = Instant::now();
    let outcome = apply_all(session, &plan, &surveys, ledger.as_ref(), config, progress).await;
    progress.elapsed += began.elapsed();
    outcome?;
    Ok(Outcome::Done(Report { before, ..progress.report(&plan) }))
}

/// Holds the lock, for what is to be done by one replica at a time; as long as the session lives.
///
/// # Errors
/// [`Error::Locked`], or what the server says.
pub async fn hold_lock(session: &Session, config: &Settings) -> Result<(), Error> {
    lock::acquire(session, Vec::new(), config.lock_timeout).await
}

/// What scripts hold, by their files. Each is gone over once: it may be large.
type Surveys<'a> = BTreeMap<&'a Path, Survey>;

/// Goes over these scripts, and fails if one of them can never run.
pub(super) fn survey<'a>(scripts: impl Iterator<Item = &'a Script>) -> Result<Surveys<'a>, Error> {
    let (mut surveys, mut findings) = (Surveys::new(), Vec::new());
    for script in scripts {
        let survey = validate::survey(script)?;
        findings.extend(validate::never_runs(script, &survey)?);
        surveys.insert(&script.file, survey);
    }
    if findings.is_empty() { Ok(surveys) } else { Err(Error::NeverRuns(findings)) }
}

async fn apply_all(
    session: &Session,
    plan: &Plan<'_>,
    surveys: &Surveys<'_>,
    ledger: &dyn Ledger,
    config: &Settings,
    progress: &mut Progress,
) -> Result<(), Error> {
    let applier = Applier::new(session, config);
    let total = plan.pending.len();
    if total > 0 {
        tracing::info!("migrations: {total} of {} pending", total + plan.applied);
    }
    let mut done = 0;
    for step in plan.steps(ledger.rules().but(&config.on_drift)) {
        let began = Instant::now();
        let mut entries = Vec::new();
        for migration in step {
            let up = &migration.up;
            let survey = match surveys.get(up.file.as_path()) {
                Some(survey) => survey.clone(),
                None => validate::survey(up)?,
            };
            entries.push(Entry {
                migration,
                script: up,
                survey,
                record: ledger.record(migration)?,
                attempt: ledger.attempt(migration)?,
            });
        }
        if let Err((migration, failure)) = applier.apply(&entries).await {
            if matches!(failure, Failure::Lost(_)) {
                progress.unknown = step.iter().map(ToString::to_string).collect();
            }
            return Err(Error::Failed {
                migration: migration.to_string(),
                failure,
                before: plan.pending[..done].iter().map(ToString::to_string).collect(),
                total,
            });
        }
        done += step.len();
        progress.applied += step.len();
        for migration in step {
            tracing::info!("migration {migration} applied in {}", text::duration(began.elapsed()));
        }
    }
    Ok(())
}

/// Runs the way down of `migration`, if it has one, and takes its record back.
///
/// # Errors
/// Why not; nothing was undone then.
pub(super) async fn undo(
    session: &Session,
    migration: &Migration,
    ledger: &dyn Ledger,
    config: &Settings,
) -> Result<(), Error> {
    let Some(down) = &migration.down else { return Ok(()) };
    let record = ledger.unrecord(migration)?;
    let survey = validate::survey(down)?;
    let entries = [Entry { migration, script: down, survey, record, attempt: None }];
    let outcome = Applier::new(session, config).apply(&entries).await;
    outcome.map_err(|(_, failure)| Error::NotUndone { migration: migration.to_string(), failure })
}

/// Which drift to mention: a second look at the same database need not repeat warnings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Say {
    Everything,
    OnlyErrors,
}

/// Plans, warns of the drift that the ledger's rules tolerate, and stops at the rest.
pub(super) fn judge<'a>(
    source: &'a Source,
    recorded: &[Applied],
    ledger: &dyn Ledger,
    config: &Settings,
    say: Say,
) -> Result<Plan<'a>, Error> {
    let rules = ledger.rules().but(&config.on_drift);
    let plan = plan(&source.migrations, recorded, &rules, |file, row| ledger.unchanged(file, row));
    let of = |policy| plan.drift.iter().filter(move |drift| rules.policy(drift) == policy);
    let fatal: Vec<Drift> = of(Policy::Fail).cloned().collect();
    if !fatal.is_empty() {
        return Err(Error::Drift(fatal));
    }
    if say == Say::Everything {
        of(Policy::Warn).for_each(|drift| tracing::warn!("{drift}"));
    }
    Ok(plan)
}

/// The recorded migrations; `None` where there is no history table.
///
/// # Errors
/// [`Error`] where it cannot be read.
pub async fn read(
    session: &Session,
    source: &Source,
    ledger: &mut dyn Ledger,
) -> Result<Option<Vec<Applied>>, Error> {
    match session.query(&ledger.read()).await {
        Ok(results) => Ok(Some(ledger.parse(&results, &source.migrations)?)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(unreadable(error, ledger)),
    }
}

/// Creates the history table and reads what another replica may have recorded since.
async fn create_and_read(
    session: &Session,
    source: &Source,
    ledger: &mut dyn Ledger,
) -> Result<Vec<Applied>, Error> {
    // Another replica's table is no news to anybody.
    let quietly = "SET LOCAL client_min_messages = warning";
    let mut create = vec![quietly.to_owned()];
    create.extend(session.schema().map(ledger::create_schema));
    create.extend(ledger.create());
    let sql = format!("{}; {}", create.join("; "), ledger.read());
    let results = session
        .query(&sql)
        .await
        .map_err(Error::refused(format!("create the history table {}", ledger.table())))?;
    let rows = results.get(create.len()..).unwrap_or_default();
    Ok(ledger.parse(rows, &source.migrations)?)
}

/// No such table, or no such schema.
fn is_absent(error: &QueryError) -> bool {
    matches!(error.code(), Some("42P01" | "3F000"))
}

fn unreadable(error: QueryError, ledger: &dyn Ledger) -> Error {
    match error.code() {
        // No such column.
        Some("42703") => Error::Ledger(ledger::Malformed {
            table: ledger.table().to_owned(),
            why: format!(
                "{error}: this is another tool's table; name the right one with --history-table"
            ),
        }),
        _ => Error::refused(format!("read the history table {}", ledger.table()))(error),
    }
}
