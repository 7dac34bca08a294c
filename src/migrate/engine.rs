//! The one loop that applies migrations.

use std::time::{Duration, Instant};

use super::adoption;
use super::apply::Applier;
use super::error::Error;
use super::ledger::{self, Applied, Ledger};
use super::lock;
use super::plan::{Drift, Plan, Policy, plan};
use super::source::Source;
use super::transaction::Entry;
use crate::config;
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

/// Applies what is pending in `source`, exactly once whoever else tries.
///
/// With nothing pending this is one round trip: no lock, no DDL, and a role that may only read the
/// history table will do. With n pending it is n + 4 at most.
///
/// # Errors
/// [`Error`]; a migration that failed has left nothing behind.
pub async fn run(
    session: &Session,
    source: &Source,
    config: &config::Migrate,
) -> Result<Outcome, Error> {
    let mut ledger = ledger::of(source.format, config);
    tracing::info!("migrations: {source}, history table {}", ledger.table());

    let recorded = read(session, source, ledger.as_mut()).await?;
    let plan =
        judge(source, recorded.as_deref().unwrap_or_default(), ledger.as_ref(), Say::Everything)?;
    if plan.pending.is_empty() {
        return Ok(Outcome::Done(Report { before: plan.applied, ..Report::default() }));
    }
    let state = session
        .server_state()
        .await
        .map_err(Error::refused("ask whether the server takes writes"))?;
    if state.standby || state.read_only {
        return Ok(Outcome::NeedsWrites(plan.pending.len()));
    }

    lock::acquire(session, ledger.native_locks(), config.lock_timeout).await?;
    // Whoever held the lock may have applied them all.
    let recorded = match recorded {
        Some(_) => read(session, source, ledger.as_mut()).await?.unwrap_or_default(),
        None => {
            adoption::check(session, ledger.as_ref()).await?;
            create_and_read(session, source, ledger.as_mut()).await?
        }
    };
    let plan = judge(source, &recorded, ledger.as_ref(), Say::OnlyErrors)?;
    if !plan.pending.is_empty() && !ledger.upgrade().is_empty() {
        let what = format!("upgrade the history table {}", ledger.table());
        session.execute(&ledger.upgrade().join("; ")).await.map_err(Error::refused(&what))?;
        tracing::info!("migrations: history table {} upgraded, as its tool does", ledger.table());
    }
    let applied = apply_all(session, &plan, ledger.as_ref(), config).await?;
    Ok(Outcome::Done(applied))
}

/// What `premain status` shows: the files, the rows, and what they make of each other.
///
/// # Errors
/// [`Error`] where the history table cannot be read.
pub async fn recorded(
    session: &Session,
    source: &Source,
    ledger: &mut dyn Ledger,
) -> Result<Vec<Applied>, Error> {
    Ok(read(session, source, ledger).await?.unwrap_or_default())
}

async fn apply_all(
    session: &Session,
    plan: &Plan<'_>,
    ledger: &dyn Ledger,
    config: &config::Migrate,
) -> Result<Report, Error> {
    let started = Instant::now();
    let applier = Applier::new(session, config);
    let total = plan.pending.len();
    if total > 0 {
        tracing::info!("migrations: {total} of {} pending", total + plan.applied);
    }
    let mut done = 0;
    for step in plan.steps(ledger.rules()) {
        let began = Instant::now();
        let mut entries = Vec::new();
        for migration in step {
            entries.push(Entry { migration, record: ledger.record(migration)? });
        }
        applier.apply(&entries).await.map_err(|(migration, failure)| Error::Failed {
            migration: migration.to_string(),
            failure,
            before: plan.pending[..done].iter().map(ToString::to_string).collect(),
            total,
        })?;
        done += step.len();
        for migration in step {
            tracing::info!("migration {migration} applied in {}", text::duration(began.elapsed()));
        }
    }
    Ok(Report { applied: total, before: plan.applied, elapsed: started.elapsed() })
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
    say: Say,
) -> Result<Plan<'a>, Error> {
    let rules = ledger.rules();
    let plan = plan(&source.migrations, recorded, &rules, |file, row| ledger.unchanged(file, row));
    let (fatal, tolerable): (Vec<&Drift>, Vec<&Drift>) =
        plan.drift.iter().partition(|drift| rules.policy(drift) == Policy::Fail);
    if !fatal.is_empty() {
        return Err(Error::Drift(fatal.into_iter().cloned().collect()));
    }
    if say == Say::Everything {
        for drift in tolerable {
            tracing::warn!("{drift}");
        }
    }
    Ok(plan)
}

/// The recorded migrations; `None` where there is no history table.
pub(super) async fn read(
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
            why: format!("{error}: this is another tool's table; name the right one with --ledger"),
        }),
        _ => Error::refused(format!("read the history table {}", ledger.table()))(error),
    }
}
