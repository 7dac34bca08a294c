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
use crate::migrate::{self, Outcome, Report, Source};
use crate::shutdown::Shutdown;
use crate::sys::Inherited;
use crate::wait::{self, Deadline};
use crate::{launch, text};

/// How long a stopped migration may take to roll back; below the grace of every supervisor.
const ROLLBACK: Duration = Duration::from_secs(5);

/// Boots and becomes the application; returns only if that could not be.
pub fn run(config: &Config, application: &[OsString], inherited: &Inherited) -> Exit {
    let prepared = match config.boots() {
        true => in_runtime(inherited, async |shutdown| prepare(config, shutdown).await),
        // A runtime would be a fifth of what such a start takes.
        false => Ok(Story::WITHOUT_DATABASE),
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
    waited: Option<Duration>,
    /// To log in to the database.
    attempts: Option<u32>,
    migrations: Migrations,
}

impl Story {
    const WITHOUT_DATABASE: Story = Story {
        waited: None,
        attempts: None,
        migrations: Migrations::Skipped("no database is configured"),
    };
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
        if let Some(waited) = self.waited {
            write!(f, "wait {}", text::duration(waited))?;
            if let Some(attempts) = self.attempts {
                write!(f, " ({})", text::count(attempts as usize, "attempt"))?;
            }
            f.write_str(", ")?;
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

/// Everything before the application: waits for everything, and applies what is pending.
///
/// # Errors
/// Whatever came first: [`Error::Stopped`] when it was a signal.
pub async fn prepare(config: &Config, shutdown: &Shutdown) -> Result<Story, Error> {
    let deadline = Deadline::start(config.wait.timeout);
    let Some(database) = &config.database else {
        race(shutdown, "waiting", wait::for_targets(&config.wait.targets, deadline)).await??;
        return Ok(Story {
            waited: (!config.wait.targets.is_empty()).then(|| deadline.elapsed()),
            ..Story::WITHOUT_DATABASE
        });
    };
    // What is wrong with the folder is said before anybody waits.
    let source = Source::find(&config.migrate).map_err(migrate::Error::from)?;

    let everything = async {
        let targets = wait::for_targets(&config.wait.targets, deadline);
        let ready = wait::for_database(database, Demand::Login, deadline);
        tokio::try_join!(ready, targets).map(|(ready, ())| ready)
    };
    let ready = match race(shutdown, "waiting", everything).await? {
        Ok(ready) => ready,
        Err(error) if config.wait.db_optional && error.exit() == Exit::NotReady => {
            tracing::warn!("{error}; going on without it (--db-optional): no migration is applied");
            return Ok(Story {
                waited: Some(deadline.elapsed()),
                attempts: None,
                migrations: Migrations::Skipped("the database was not ready"),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let (waited, attempts) = (Some(deadline.elapsed()), Some(ready.attempts));

    let migrations = match source {
        None => {
            ready.value.close().await;
            Migrations::None
        }
        Some(source) => Migrations::Applied(
            migrate(config, database, &source, ready.value, deadline, shutdown).await?,
        ),
    };
    Ok(Story { waited, attempts, migrations })
}

/// Applies what is pending; goes back to waiting where that takes a server that takes writes.
async fn migrate(
    config: &Config,
    database: &Database,
    source: &Source,
    mut session: Session,
    deadline: Deadline,
    shutdown: &Shutdown,
) -> Result<Report, Error> {
    loop {
        let outcome = tokio::select! {
            biased;
            signal = shutdown.signal() => {
                stop(session, shutdown).await;
                return Err(Error::Stopped { signal, during: "migrating" });
            }
            outcome = migrate::run(&session, source, &config.migrate) => outcome,
        };
        session.close().await;
        match outcome? {
            Outcome::Done(report) => return Ok(report),
            Outcome::NeedsWrites(pending) => {
                let pending = text::count(pending, "migration");
                tracing::info!(
                    "{pending} pending, and the server takes no writes: waiting for one that does"
                );
                let primary = wait::for_database(database, Demand::Writes, deadline);
                session = race(shutdown, "waiting for the primary", primary).await??.value;
            }
        }
    }
}

/// Cancels what runs and waits for its rollback; a second signal waits for nothing.
async fn stop(session: Session, shutdown: &Shutdown) {
    let began = Instant::now();
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
