//! Applying what is pending, with the hooks around it, in as many sessions as it takes.

use super::context::Context;
use super::hooks::Moment;
use super::waiting::Waiting;
use crate::database::{self, Database, Demand, Session};
use crate::error::Error;
use crate::migrate::{self, Migrator, Outcome, Progress, Report, Source};
use crate::phase::Phase;
use crate::text;

/// How often in a row the connection may be lost without a migration being applied in between.
const LOSSES: u32 = 3;

/// Runs `--after-migrate`, which does not depend on there being migrations.
///
/// # Errors
/// The hook's, the lock's, or [`Error::Stopped`].
pub(super) async fn without_migrations(
    context: &Context<'_>,
    database: &Database,
    waiting: &mut Waiting<'_>,
) -> Result<(), Error> {
    let login = waiting.log_in(database, Demand::Login);
    database::hold(context.shutdown, login, "waiting for the migration lock", async |session| {
        Phase::Migrating.publish();
        with_lock(context, session, Moment::AfterMigrate(0)).await
    })
    .await
}

/// Applies what is pending. Waits again for a server that takes writes if this one does not, and
/// connects again if the connection was lost, to find out what became of the migration. `prepared` if
/// `--before-migrate` has run already.
///
/// # Errors
/// Those of waiting, migrating and hooks, or [`Error::Stopped`].
pub(super) async fn all(
    context: &Context<'_>,
    database: &Database,
    source: &Source,
    waiting: &mut Waiting<'_>,
    prepared: bool,
) -> Result<Report, Error> {
    let mut migrating = Migrating { context, source, progress: Progress::default(), prepared };
    let mut demand = Demand::Login;
    let mut lost = None;
    let mut losses = 0;
    loop {
        let applied = migrating.progress.applied;
        let login = waiting.log_in(database, demand);
        let session = async |session: &Session| migrating.in_session(session).await;
        match database::hold(context.shutdown, login, "migrating", session).await {
            Ok(Outcome::UpToDate(report)) => return Ok(report),
            Ok(Outcome::NeedsWrites(pending)) => {
                let pending = text::count(pending, "migration");
                tracing::info!(
                    "{pending} pending, and the server takes no writes: waiting for one that does"
                );
                (demand, lost) = (Demand::Writes, None);
            }
            Err(Error::Migrate(error)) if error.is_lost() => {
                losses = if migrating.progress.applied > applied { 1 } else { losses + 1 };
                if losses == LOSSES {
                    return Err(error.into());
                }
                let what = error.to_string();
                let what = what.lines().next().unwrap_or_default();
                tracing::warn!("{what}; connecting again, to look what became of it");
                waiting.restart();
                (demand, lost) = (Demand::Login, Some(error));
            }
            // Not even with `--db-optional`: a part of the migration may be applied.
            Err(Error::Wait(error)) => {
                return Err(match lost {
                    Some(lost) => {
                        tracing::warn!("{error}");
                        lost.into()
                    }
                    None => error.into(),
                });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Migrating, in one session after the other.
struct Migrating<'a> {
    context: &'a Context<'a>,
    source: &'a Source,
    progress: Progress,
    /// Whether `--before-migrate` has run: once, however many sessions it takes.
    prepared: bool,
}

impl Migrating<'_> {
    /// Applies what is pending, with the hooks before and after.
    async fn in_session(&mut self, session: &Session) -> Result<Outcome, Error> {
        let Migrating { context, source, progress, prepared } = self;
        Phase::Migrating.publish();
        let before = async |pending| {
            if !*prepared {
                with_hooks(context, session, Moment::BeforeMigrate(pending)).await?;
                *prepared = true;
            }
            Ok::<_, Error>(())
        };
        let migrator = Migrator::new(session, source, &context.config.migrate);
        let before = context.has_hooks(Moment::BeforeMigrate(0)).then_some(before);
        let outcome = migrator.run(progress, before).await?;
        if let Outcome::UpToDate(report) = &outcome {
            with_lock(context, session, Moment::AfterMigrate(report.applied)).await?;
        }
        Ok(outcome)
    }
}

/// Takes the lock, which this session may not hold yet, and runs the hooks of a moment.
async fn with_lock(context: &Context<'_>, session: &Session, moment: Moment) -> Result<(), Error> {
    if context.has_hooks(moment) {
        migrate::hold_lock(session, &context.config.migrate).await?;
    }
    with_hooks(context, session, moment).await
}

/// Runs the hooks of a moment while the session, which is idle, holds the lock.
pub(super) async fn with_hooks(
    context: &Context<'_>,
    session: &Session,
    moment: Moment,
) -> Result<(), Error> {
    if !context.has_hooks(moment) {
        return Ok(());
    }
    // With a timeout for idle sessions (PostgreSQL 14 and later) the server would end this one, and
    // free the lock.
    let keep = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
                WHERE name = 'idle_session_timeout'";
    session.query(keep).await.map_err(migrate::Error::statement("keep the session"))?;
    context.run_hooks(moment).await
}
