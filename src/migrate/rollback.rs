//! The ways down: which migrations are to be undone, and undoing them one by one, newest first.

use std::time::{Duration, Instant};

use super::adoption::is_called;
use super::engine::{self, Say, judge, read, survey};
use super::error::Error;
use super::ledger::{self, Applied, Ledger};
use super::lock;
use super::plan::Drift;
use super::settings::Settings;
use super::source::{Migration, Source};
use crate::database::Session;
use crate::text;

/// The migrations to undo, newest first: those behind `to` (`none`: all of them), or the last one.
///
/// # Errors
/// [`Error`]: one of them has no way down, or has no file; nothing was run then.
pub async fn find<'a>(
    session: &Session,
    source: &'a Source,
    config: &Settings,
    to: Option<&str>,
) -> Result<Vec<&'a Migration>, Error> {
    let mut ledger = ledger::of(source.format, config);
    let recorded = read(session, source, ledger.as_mut()).await?.unwrap_or_default();
    undone(source, &recorded, ledger.as_ref(), config, to, Say::Everything)
}

/// Undoes exactly `expected`, which [`find`] found; returns how long it took.
///
/// # Errors
/// [`Error`]; of the migration that failed nothing was undone, those before it were.
pub async fn run(
    session: &Session,
    source: &Source,
    config: &Settings,
    to: Option<&str>,
    expected: &[&Migration],
) -> Result<Duration, Error> {
    let mut ledger = ledger::of(source.format, config);
    lock::acquire(session, ledger.native_locks(), config.lock_timeout).await?;
    let recorded = read(session, source, ledger.as_mut()).await?.unwrap_or_default();
    let migrations = undone(source, &recorded, ledger.as_ref(), config, to, Say::OnlyErrors)?;
    if migrations != expected {
        return Err(Error::Overtaken);
    }
    let started = Instant::now();
    for migration in &migrations {
        let began = Instant::now();
        engine::undo(session, migration, ledger.as_ref(), config).await?;
        tracing::info!("migration {migration} rolled back in {}", text::duration(began.elapsed()));
    }
    Ok(started.elapsed())
}

fn undone<'a>(
    source: &'a Source,
    recorded: &[Applied],
    ledger: &dyn Ledger,
    config: &Settings,
    to: Option<&str>,
    say: Say,
) -> Result<Vec<&'a Migration>, Error> {
    let plan = judge(source, recorded, ledger, config, say)?;
    // What is newer stands on what is older, and has no way down here.
    if let Some(Drift::Ahead { migrations }) =
        plan.drift.iter().find(|drift| matches!(drift, Drift::Ahead { .. }))
    {
        return Err(Error::NoWayDown { migrations: migrations.clone(), file: false });
    }
    let is_applied = |file: &&Migration| recorded.iter().any(|row| row.key == file.key);
    let applied: Vec<_> = source.migrations.iter().filter(is_applied).collect();
    let stays = match to {
        None => applied.len().saturating_sub(1),
        Some("none") => 0,
        Some(wanted) => {
            let called = |file: &&Migration| is_called(&file.key, &file.name, wanted);
            let place = applied.iter().position(called);
            place.ok_or_else(|| Error::NoSuchMigration {
                wanted: wanted.to_owned(),
                source: format!("{source} that is applied"),
            })? + 1
        }
    };
    let migrations: Vec<_> = applied[stays..].iter().copied().rev().collect();
    let stuck = migrations.iter().filter(|migration| migration.down.is_none());
    let stuck: Vec<_> = stuck.map(ToString::to_string).collect();
    if !stuck.is_empty() {
        return Err(Error::NoWayDown { migrations: stuck, file: true });
    }
    survey(migrations.iter().filter_map(|migration| migration.down.as_ref()))?;
    Ok(migrations)
}
