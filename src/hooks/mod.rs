//! Hooks: other people's programs, run one by one before the application.
//!
//! A hook is started as the application will be: its signals, its environment, its folder. It has
//! a process group of its own, nothing on standard input, and what it prints becomes lines of the log.
//! A signal that stops the boot is passed on to it first.

#![forbid(unsafe_code)]

mod command;
pub mod entrypoint;
mod process;
mod settings;
mod variables;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::retry::{Pauses, Policy};
use crate::shutdown::Shutdown;
use crate::signal::Signal;
use crate::sys::Inherited;
use crate::{launch, text};
pub use command::Hook;
use process::Process;
pub use settings::Settings;

/// How long to wait between two log lines that say that a hook still runs.
const SILENCE: Policy = Policy::doubling(Duration::from_secs(2), Duration::from_mins(1));

/// Why there is no going on.
#[derive(Debug)]
pub enum Error {
    /// A hook failed.
    Failed {
        /// `--before-migrate (pg_dump)`
        hook: String,
        /// How.
        how: How,
        /// What that means for the database and the application.
        so: &'static str,
    },
    /// A signal came while it ran, and it is gone.
    Stopped(Signal),
    /// The operating system refused what it takes to run one.
    System(io::Error),
}

/// How a hook failed.
#[derive(Debug)]
pub enum How {
    /// It ended with this status.
    Status(u8),
    /// This signal killed it.
    Signal(Signal),
    /// It did not even start.
    NotStarted(launch::Error),
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed { hook, how, so } => {
                write!(f, "{hook} ")?;
                match how {
                    How::Status(status) => write!(f, "failed: it exited with status {status}")?,
                    How::Signal(signal) => {
                        let number = signal.number();
                        write!(f, "failed: it was killed by {signal} (signal {number})")?;
                    }
                    How::NotStarted(error) => write!(f, "did not start: {error}")?,
                }
                write!(f, "; {so}")
            }
            Error::Stopped(signal) => write!(f, "stopped by {signal}"),
            Error::System(error) => write!(f, "cannot run a hook: {error}"),
        }
    }
}

/// The moments at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `--generate`: nothing has been read yet.
    Generate,
    /// `--before-migrate`: this many are pending, and the lock is held.
    BeforeMigrate(usize),
    /// `--after-migrate`: this many were applied, none is pending, and the lock is held.
    AfterMigrate(usize),
    /// Everything is done but the application's start.
    Entrypoint,
}

impl Moment {
    /// What a hook that fails then means.
    fn so(self) -> &'static str {
        match self {
            Moment::Generate => "nothing was migrated",
            Moment::BeforeMigrate(_) => "no migration was applied",
            Moment::AfterMigrate(0) => "it runs again with the next start",
            Moment::AfterMigrate(_) => {
                "the migrations stay applied, and it runs again with the next start"
            }
            Moment::Entrypoint => "the application was not started",
        }
    }
}

/// Says that the hooks around migrations do not run, and the one that generates them either.
pub fn skip(hooks: &Settings, generate: bool, why: &str) {
    let generate = hooks.generate.as_ref().filter(|_| generate);
    let all = [generate, hooks.before_migrate.as_ref(), hooks.after_migrate.as_ref()];
    for hook in all.into_iter().flatten() {
        tracing::info!("migrations: {hook} does not run: {why}");
    }
}

/// What it takes to run hooks.
pub struct Hooks<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The signals of whoever started us.
    pub inherited: &'a Inherited,
    /// Where signals arrive.
    pub shutdown: &'a Shutdown,
}

impl Hooks<'_> {
    /// Whether there is a hook for this moment.
    pub fn has(&self, moment: Moment) -> bool {
        !self.of(moment).is_empty()
    }

    /// Runs the hooks of this moment, one by one.
    ///
    /// # Errors
    /// The first one's [`Error`].
    pub async fn run(&self, moment: Moment) -> Result<(), Error> {
        for hook in self.of(moment) {
            self.run_one(hook, moment).await?;
        }
        Ok(())
    }

    fn of(&self, moment: Moment) -> &[Hook] {
        let hooks = &self.config.hooks;
        match moment {
            Moment::Generate => hooks.generate.as_slice(),
            Moment::BeforeMigrate(_) => hooks.before_migrate.as_slice(),
            Moment::AfterMigrate(_) => hooks.after_migrate.as_slice(),
            Moment::Entrypoint => &hooks.entrypoint,
        }
    }

    async fn run_one(&self, hook: &Hook, moment: Moment) -> Result<(), Error> {
        let began = Instant::now();
        // Every line about migrations has the word in it.
        let about = if moment == Moment::Entrypoint { "" } else { "migrations: " };
        let environment = self.environment(moment);
        let launch = launch::Settings { user: None, environment };
        let failed = |how| Error::Failed { hook: hook.to_string(), how, so: moment.so() };
        let mut process = match Process::start(hook, &launch, self.inherited) {
            Ok(process) => process,
            Err(process::Error::Launch(error)) => return Err(failed(How::NotStarted(error))),
            Err(process::Error::System(error)) => return Err(Error::System(error)),
        };
        tracing::info!("{about}running {hook} (pid {})", process.pid());
        let mut silences = Pauses::new(SILENCE);
        let ended = loop {
            tokio::select! {
                biased;
                signal = self.shutdown.signal() => {
                    process.stop(signal, self.shutdown).await;
                    return Err(Error::Stopped(signal));
                }
                ended = process.ended() => break ended,
                () = tokio::time::sleep(silences.next()) => {
                    let elapsed = text::duration(began.elapsed());
                    tracing::info!("{about}{hook} still runs after {elapsed}");
                }
            }
        };
        ended.map_err(failed)?;
        if process.is_shared() {
            tracing::warn!(
                "{hook} left a process behind that shares its output, and nobody reads that from \
                 here on: give it a file of its own, such as /proc/1/fd/2"
            );
        }
        tracing::info!("{about}{hook} done in {}", text::duration(began.elapsed()));
        Ok(())
    }

    /// The application's environment; for the hooks around migrations with what the moment is about.
    fn environment(&self, moment: Moment) -> Vec<(OsString, OsString)> {
        let environment = self.config.launch.environment.iter().cloned();
        let (name, count) = match moment {
            Moment::Generate | Moment::Entrypoint => return environment.collect(),
            Moment::BeforeMigrate(pending) => ("PREMAIN_PENDING", pending),
            Moment::AfterMigrate(applied) => ("PREMAIN_APPLIED", applied),
        };
        let mut more = self.config.database.as_ref().map(variables::of).unwrap_or_default();
        more.push((name, Some(count.to_string())));
        let replaced = |name: &OsString| more.iter().any(|(other, _)| name == other);
        environment
            .filter(|(name, _)| !replaced(name))
            .chain(
                more.iter().filter_map(|(name, value)| Some((name.into(), value.as_ref()?.into()))),
            )
            .collect()
    }
}
