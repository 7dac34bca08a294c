//! The boot: wait → migrate → hooks → launch, every step raced with shutdown.
//!
//! It runs in the init's child, which then becomes the application, or in place for `--exec` and
//! for the commands that launch nothing.

mod migrating;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::database::{Demand, Session};
use crate::error::Error;
use crate::exit::Exit;
use crate::hooks::{self, Hooks, Moment};
use crate::migrate::{self, Report, Source};
use crate::phase::Phase;
use crate::shutdown::Shutdown;
use crate::sys::Inherited;
use crate::wait::{self, Deadline};
use crate::{launch, text};

/// How long a stopped migration may take to roll back; below the grace of every supervisor.
const ROLLBACK: Duration = Duration::from_secs(5);

/// Boots and becomes the application; returns only if that could not be.
pub fn run(config: &Config, application: &[OsString], inherited: &Inherited) -> Exit {
    let prepared = match config.boots() {
        true => in_runtime(inherited, async |shutdown| {
            everything(&Hooks { config, inherited, shutdown }).await
        }),
        // A runtime would be a fifth of what such a start takes.
        false => Ok(without_database(config)),
    };
    let story = match prepared {
        Ok(story) => story,
        Err(error) => return report(&error),
    };
    let program = application.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    tracing::info!("{story}, starting {program} (pid {})", std::process::id());
    let error = launch::exec(&config.launch, application, inherited);
    tracing::error!("{error}");
    error.exit()
}

/// What `run` does before the application: as [`prepare`], which may be optional, and then the
/// container's own hooks.
async fn everything(hooks: &Hooks<'_>) -> Result<Story, Error> {
    let optional = hooks.config.wait.db_optional;
    let story = match prepare(hooks, Goal::Migrated).await {
        Err(Error::Wait(error)) if optional && error.exit() == Exit::NotReady => {
            tracing::warn!("{error}; going on without it (--db-optional): no migration is applied");
            hooks::skip(&hooks.config.hooks, false, "not everything was ready");
            Story { waited: None, migrations: Migrations::Skipped("not everything was ready") }
        }
        prepared => prepared?,
    };
    Phase::Starting.publish();
    hooks.run(Moment::Entrypoint).await?;
    Ok(story)
}

/// There is nothing to migrate, which is no news to anybody but those who have hooks for it.
fn without_database(config: &Config) -> Story {
    hooks::skip(&config.hooks, true, "no database is configured");
    Story { waited: None, migrations: Migrations::Skipped("no database is configured") }
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
pub async fn prepare(hooks: &Hooks<'_>, goal: Goal) -> Result<Story, Error> {
    let Hooks { config, shutdown, .. } = hooks;
    Phase::Starting.publish();
    let Some(database) = &config.database else {
        let story = without_database(config);
        Phase::Waiting.publish();
        let deadline = Deadline::start(config.wait.timeout);
        let ready = wait::for_targets(&config.wait.targets, deadline);
        let attempts = race(shutdown, "waiting", ready).await??;
        return Ok(Story {
            waited: (attempts > 0).then(|| (deadline.elapsed(), attempts)),
            ..story
        });
    };
    // What is wrong with the folder is said before anybody waits.
    let source = match goal {
        Goal::Ready => None,
        Goal::Migrated => {
            hooks.run(Moment::Generate).await?;
            Source::find(&config.migrate).map_err(migrate::Error::from)?
        }
    };

    Phase::Waiting.publish();
    let deadline = Deadline::start(config.wait.timeout);
    let everything = async {
        let targets = wait::for_targets(&config.wait.targets, deadline);
        let ready = wait::for_database(database, Demand::Login, deadline);
        tokio::try_join!(ready, targets)
    };
    let (ready, attempts) = race(shutdown, "waiting", everything).await??;
    let waited = Some((deadline.elapsed(), ready.attempts.max(attempts)));
    let story = Story { waited, migrations: Migrations::None };
    match goal {
        Goal::Ready => {
            ready.value.close().await;
            Ok(story)
        }
        Goal::Migrated => {
            Phase::Migrating.publish();
            match &source {
                None => migrating::nothing(hooks, ready.value).await.map(|()| story),
                Some(source) => {
                    migrating::all(hooks, database, source, ready.value, deadline, story).await
                }
            }
        }
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

/// Works in `session`, and closes it; a signal cancels what runs and awaits its rollback.
///
/// # Errors
/// [`Error::Stopped`].
pub async fn cancellable<T>(
    session: Session,
    shutdown: &Shutdown,
    during: &'static str,
    work: impl AsyncFnOnce(&Session) -> T,
) -> Result<T, Error> {
    let outcome = tokio::select! {
        biased;
        signal = shutdown.signal() => Err(Error::Stopped { signal, during }),
        outcome = work(&session) => Ok(outcome),
    };
    match outcome {
        Ok(_) => session.close().await,
        Err(_) => stop(session, shutdown).await,
    }
    outcome
}

/// Lets a signal win over `work`, which is dropped then.
pub async fn race<T>(
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
