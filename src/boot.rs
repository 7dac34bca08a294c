//! The boot: wait → migrate → launch, every step raced with shutdown.
//!
//! It runs in the init's child, which then becomes the application, or in place for `--exec` and
//! for the commands that launch nothing.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use crate::config::{Config, Database};
use crate::database::{Demand, Session};
use crate::error::Error;
use crate::exit::Exit;
use crate::migrate::{self, Outcome, Progress, Report, Source};
use crate::shutdown::Shutdown;
use crate::sys::Inherited;
use crate::wait::{self, Deadline};
use crate::{launch, text};

/// How long a stopped migration may take to roll back; below the grace of every supervisor.
const ROLLBACK: Duration = Duration::from_secs(5);

/// How often in a row the connection may be lost without anything being applied in between.
const LOSSES: u32 = 3;

/// Boots and becomes the application; returns only if that could not be.
pub fn run(config: &Config, application: &[OsString], inherited: &Inherited) -> Exit {
    let prepared = match config.boots() {
        true => {
            in_runtime(inherited, async |shutdown| prepare(config, Goal::Migrated, shutdown).await)
        }
        // A runtime would be a fifth of what such a start takes.
        false => Ok(Story::WITHOUT_DATABASE),
    };
    let story = match prepared {
        Ok(story) => story,
        Err(Error::Wait(error)) if config.wait.db_optional && error.exit() == Exit::NotReady => {
            tracing::warn!("{error}; going on without it (--db-optional): no migration is applied");
            Story { waited: None, migrations: Migrations::Skipped("not everything was ready") }
        }
        Err(error) => return report(&error),
    };
    let program = application.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    tracing::info!("{story}, starting {program} (pid {})", std::process::id());
    let error = launch::exec(&config.launch, application, inherited);
    tracing::error!("{error}");
    error.exit()
}

/// Says why, and returns what it is worth.
pub fn report(error: &Error) -> Exit {
    match error {
        Error::Stopped { .. } => tracing::info!("{error}"),
        _ => tracing::error!("{error}"),
    }
    error.exit()
}

/// Runs `work` on a runtime of this one thread; a look-up that still blocks elsewhere is left
/// behind, because it ends with the process at the latest.
///
/// # Errors
/// The work's own, or [`Error::System`].
// Not a part of its callers, whose stack would then have the room for it where there is no work.
#[inline(never)]
pub fn in_runtime<T>(
    inherited: &Inherited,
    work: impl AsyncFnOnce(&Shutdown) -> Result<T, Error>,
) -> Result<T, Error> {
    let system = |what| move |source| Error::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4)
        .build()
        .map_err(system("start the runtime"))?;
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::listen(|signal| inherited.ignores(signal))
            .map_err(system("listen to signals"))?;
        work(&shutdown).await
    });
    runtime.shutdown_background();
    outcome
}

/// What happened before the application, for the one summary line.
#[derive(Debug)]
pub struct Story {
    /// For how long, in how many attempts.
    waited: Option<(Duration, u32)>,
    migrations: Migrations,
}

impl Story {
    const WITHOUT_DATABASE: Story =
        Story { waited: None, migrations: Migrations::Skipped("no database is configured") };
}

/// What became of the migrations.
#[derive(Debug)]
enum Migrations {
    Applied(Report),
    /// There are none, or none were wanted.
    None,
    Skipped(&'static str),
}

impl std::fmt::Display for Story {
    /// `wait 1.2s (7 attempts), migrations 4 applied in 240ms`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((elapsed, attempts)) = self.waited {
            let attempts = text::count(attempts as usize, "attempt");
            write!(f, "wait {} ({attempts}), ", text::duration(elapsed))?;
        }
        match &self.migrations {
            Migrations::Applied(Report { applied: 0, before, .. }) => {
                write!(f, "migrations none pending ({before} applied before)")
            }
            Migrations::Applied(Report { applied, elapsed, .. }) => {
                write!(f, "migrations {applied} applied in {}", text::duration(*elapsed))
            }
            Migrations::None => f.write_str("no migrations"),
            Migrations::Skipped(why) => write!(f, "migrations skipped: {why}"),
        }
    }
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Everything that is waited for is there.
    Ready,
    /// And nothing is pending any more.
    Migrated,
}

/// Everything before the application: waits for everything, and applies what is pending.
///
/// # Errors
/// Whatever came first: [`Error::Stopped`] when it was a signal.
pub async fn prepare(config: &Config, goal: Goal, shutdown: &Shutdown) -> Result<Story, Error> {
    let deadline = Deadline::start(config.wait.timeout);
    let Some(database) = &config.database else {
        let ready = wait::for_targets(&config.wait.targets, deadline);
        let attempts = race(shutdown, "waiting", ready).await??;
        return Ok(Story {
            waited: (attempts > 0).then(|| (deadline.elapsed(), attempts)),
            ..Story::WITHOUT_DATABASE
        });
    };
    // What is wrong with the folder is said before anybody waits.
    let source = match goal {
        Goal::Ready => None,
        Goal::Migrated => Source::find(&config.migrate).map_err(migrate::Error::from)?,
    };

    let everything = async {
        let targets = wait::for_targets(&config.wait.targets, deadline);
        let ready = wait::for_database(database, Demand::Login, deadline);
        tokio::try_join!(ready, targets)
    };
    let (ready, attempts) = race(shutdown, "waiting", everything).await??;
    let waited = Some((deadline.elapsed(), ready.attempts.max(attempts)));
    let story = Story { waited, migrations: Migrations::None };
    match source {
        None => {
            ready.value.close().await;
            Ok(story)
        }
        Some(source) => {
            migrate(config, database, &source, ready.value, deadline, shutdown, story).await
        }
    }
}

/// Applies what is pending; goes back to waiting where that takes a server that takes writes, and
/// where the connection was lost, to look what became of what was under way.
async fn migrate(
    config: &Config,
    database: &Database,
    source: &Source,
    mut session: Session,
    mut deadline: Deadline,
    shutdown: &Shutdown,
    mut story: Story,
) -> Result<Story, Error> {
    let mut progress = Progress::default();
    let mut losses = 0;
    loop {
        let before = progress.applied;
        let outcome = tokio::select! {
            biased;
            signal = shutdown.signal() => {
                stop(session, shutdown).await;
                return Err(Error::Stopped { signal, during: "migrating" });
            }
            outcome = migrate::run(&session, source, &config.migrate, &mut progress) => outcome,
        };
        session.close().await;
        let (lost, demand) = match outcome {
            Ok(Outcome::Done(report)) => {
                return Ok(Story { migrations: Migrations::Applied(report), ..story });
            }
            Ok(Outcome::NeedsWrites(pending)) => {
                let pending = text::count(pending, "migration");
                tracing::info!(
                    "{pending} pending, and the server takes no writes: waiting for one that does"
                );
                (None, Demand::Writes)
            }
            Err(error) if error.is_lost() => {
                losses = if progress.applied > before { 1 } else { losses + 1 };
                if losses == LOSSES {
                    return Err(error.into());
                }
                let what = error.to_string();
                let what = what.lines().next().unwrap_or_default();
                tracing::warn!("{what}; connecting again, to look what became of it");
                deadline = Deadline::start(config.wait.timeout);
                (Some(error), Demand::Login)
            }
            Err(error) => return Err(error.into()),
        };
        let ready = race(shutdown, "waiting", wait::for_database(database, demand, deadline));
        let ready = match (ready.await?, lost) {
            // Migrating had begun: that the server is gone is no reason to start without it.
            (Err(gone), Some(lost)) => {
                tracing::warn!("{gone}");
                return Err(lost.into());
            }
            (ready, _) => ready?,
        };
        let attempts = story.waited.map_or(0, |(_, attempts)| attempts);
        story.waited = Some((deadline.elapsed(), attempts + ready.attempts));
        session = ready.value;
    }
}

/// Cancels what runs and waits for its rollback; a second signal waits for nothing.
async fn stop(session: Session, shutdown: &Shutdown) {
    let began = Instant::now();
    tracing::info!("cancelling the migration, and waiting for its rollback");
    tokio::select! {
        biased;
        _ = shutdown.signal() => {}
        () = session.abandon(ROLLBACK) => {
            tracing::debug!("migration rolled back in {}", text::duration(began.elapsed()));
        }
    }
}

/// Lets a signal win over `work`, which is dropped then.
async fn race<T>(
    shutdown: &Shutdown,
    during: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        signal = shutdown.signal() => Err(Error::Stopped { signal, during }),
        outcome = work => Ok(outcome),
    }
}

/// Waits for the database and connects: for the commands that only look.
///
/// # Errors
/// As [`prepare`].
pub async fn connect(
    config: &Config,
    command: &'static str,
    shutdown: &Shutdown,
) -> Result<Session, Error> {
    let database = config.database.as_ref().ok_or(Error::NoDatabase(command))?;
    let deadline = Deadline::start(config.wait.timeout);
    let ready = wait::for_database(database, Demand::Login, deadline);
    Ok(race(shutdown, "waiting", ready).await??.value)
}
