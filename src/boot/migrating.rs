//! Migrating: what is pending, with the hooks around it, in as many sessions as it takes.

use super::{Migrations, Story, race, stop};
use crate::database::Database;
use crate::database::{Demand, Session};
use crate::error::Error;
use crate::hooks::{Hooks, Moment};
use crate::migrate::{self, Outcome, Progress, Source};
use crate::phase::Phase;
use crate::text;
use crate::wait::{self, Deadline, Ready};

/// How often in a row the connection may be lost without anything being applied in between.
const LOSSES: u32 = 3;

/// There are no migrations; `--after-migrate` runs all the same.
///
/// # Errors
/// The hook's, the lock's, or [`Error::Stopped`].
pub(super) async fn nothing(hooks: &Hooks<'_>, session: Session) -> Result<(), Error> {
    let ended = with_lock(hooks, &session, Moment::AfterMigrate(0)).await;
    session.close().await;
    ended
}

/// Applies what is pending. Goes back to waiting where that takes a server that takes writes, and
/// where the connection was lost, to look what became of what was under way.
///
/// # Errors
/// Whatever came first: [`Error::Stopped`] when it was a signal.
pub(super) async fn all(
    hooks: &Hooks<'_>,
    database: &Database,
    source: &Source,
    mut session: Session,
    mut deadline: Deadline,
    mut story: Story,
) -> Result<Story, Error> {
    let timeout = hooks.config.wait.timeout;
    let mut attempts = Attempts { hooks, source, progress: Progress::default(), prepared: false };
    let mut losses = 0;
    loop {
        let applied = attempts.progress.applied;
        let (demand, lost) = match attempts.next(session).await {
            Ok(Outcome::Done(report)) => {
                return Ok(Story { migrations: Migrations::Applied(report), ..story });
            }
            Ok(Outcome::NeedsWrites(pending)) => {
                let pending = text::count(pending, "migration");
                tracing::info!(
                    "{pending} pending, and the server takes no writes: waiting for one that does"
                );
                (Demand::Writes, None)
            }
            Err(Error::Migrate(error)) if error.is_lost() => {
                losses = if attempts.progress.applied > applied { 1 } else { losses + 1 };
                if losses == LOSSES {
                    return Err(error.into());
                }
                let what = error.to_string();
                let what = what.lines().next().unwrap_or_default();
                tracing::warn!("{what}; connecting again, to look what became of it");
                deadline = Deadline::start(timeout);
                (Demand::Login, Some(error))
            }
            Err(error) => return Err(error),
        };
        let ready = again(hooks, database, demand, deadline, lost).await?;
        let before = story.waited.map_or(0, |(_, attempts)| attempts);
        story.waited = Some((deadline.elapsed(), before + ready.attempts));
        session = ready.value;
    }
}

/// Waits for a server once more, which is no reason to start without it where migrating had begun:
/// then the error is the one of the connection that was lost.
async fn again(
    hooks: &Hooks<'_>,
    database: &Database,
    demand: Demand,
    deadline: Deadline,
    lost: Option<migrate::Error>,
) -> Result<Ready<Session>, Error> {
    Phase::Waiting.publish();
    let ready = wait::for_database(database, demand, deadline);
    let ready = match (race(hooks.shutdown, "waiting", ready).await?, lost) {
        (Err(gone), Some(lost)) => {
            tracing::warn!("{gone}");
            return Err(lost.into());
        }
        (ready, _) => ready?,
    };
    Phase::Migrating.publish();
    Ok(ready)
}

/// Migrating, one session after the other.
struct Attempts<'a> {
    hooks: &'a Hooks<'a>,
    source: &'a Source,
    progress: Progress,
    /// Whether `--before-migrate` has run: once, however many sessions it takes.
    prepared: bool,
}

impl Attempts<'_> {
    /// Migrates in this session, with the hooks before and after, and closes it.
    async fn next(&mut self, session: Session) -> Result<Outcome, Error> {
        let Attempts { hooks, source, progress, prepared } = self;
        let Hooks { config, shutdown, .. } = hooks;
        let before = async |pending| {
            if !*prepared {
                with_hook(hooks, &session, Moment::BeforeMigrate(pending)).await?;
                *prepared = true;
            }
            Ok(())
        };
        let outcome = tokio::select! {
            biased;
            // A signal that comes while a hook runs is the hook's, which is why it is asked first.
            outcome = migrate::run(&session, source, &config.migrate, progress, before) => outcome,
            signal = shutdown.signal() => {
                stop(session, shutdown).await;
                return Err(Error::Stopped { signal, during: "migrating" });
            }
        };
        let ended = match &outcome {
            Ok(Outcome::Done(report)) => {
                with_lock(hooks, &session, Moment::AfterMigrate(report.applied)).await
            }
            _ => Ok(()),
        };
        session.close().await;
        ended.and(outcome)
    }
}

/// Runs the hooks of a moment at which the lock need not be held yet.
async fn with_lock(hooks: &Hooks<'_>, session: &Session, moment: Moment) -> Result<(), Error> {
    if !hooks.has(moment) {
        return Ok(());
    }
    let lock = migrate::hold_lock(session, &hooks.config.migrate);
    race(hooks.shutdown, "waiting for the migration lock", lock).await??;
    with_hook(hooks, session, moment).await
}

/// Runs the hooks of a moment while the session, which has nothing to do, holds the lock.
async fn with_hook(hooks: &Hooks<'_>, session: &Session, moment: Moment) -> Result<(), Error> {
    if !hooks.has(moment) {
        return Ok(());
    }
    // PostgreSQL 14 and later may end sessions that do nothing, and with it free their locks.
    let stay = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
                WHERE name = 'idle_session_timeout'";
    let stay = session.execute(stay);
    race(hooks.shutdown, "migrating", stay)
        .await?
        .map_err(migrate::Error::refused("keep the session"))?;
    Ok(hooks.run(moment).await?)
}
