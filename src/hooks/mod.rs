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
pub mod variables;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::retry::{Pauses, Policy};
use crate::shutdown::{Shutdown, Stopped};
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
        consequence: &'static str,
    },
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
            Error::Failed { hook, how, consequence } => {
                write!(f, "{hook} ")?;
                match how {
                    How::Status(status) => write!(f, "failed: it exited with status {status}")?,
                    How::Signal(signal) => {
                        let number = signal.number();
                        write!(f, "failed: it was killed by {signal} (signal {number})")?;
                    }
                    How::NotStarted(error) => write!(f, "did not start: {error}")?,
                }
                write!(f, "; {consequence}")
            }
            Error::System(error) => write!(f, "cannot run a hook: {error}"),
        }
    }
}

/// What one run of a hook is about.
pub struct Occasion {
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What log lines about it begin with.
    pub prefix: &'static str,
    /// What it means if it fails: "the application was not started".
    pub consequence: &'static str,
}

/// Runs a hook, and logs what it prints and now and then that it still runs. A signal is forwarded to
/// it, and it has ended when this returns.
///
/// # Errors
/// How it failed, or the signal that stopped it.
pub async fn run<E: From<Error> + From<Stopped>>(
    hook: &Hook,
    occasion: Occasion,
    inherited: &Inherited,
    shutdown: &Shutdown,
) -> Result<(), E> {
    let Occasion { environment, prefix, consequence } = occasion;
    let began = Instant::now();
    let launch = launch::Settings { user: None, environment };
    let failed = |how| Error::Failed { hook: hook.to_string(), how, consequence };
    let mut process = match Process::start(hook, &launch, inherited) {
        Ok(process) => process,
        Err(process::Error::Launch(error)) => return Err(failed(How::NotStarted(error)).into()),
        Err(process::Error::System(error)) => return Err(Error::System(error).into()),
    };
    tracing::info!("{prefix}running {hook} (pid {})", process.pid());
    let mut silences = Pauses::new(SILENCE);
    let ended = loop {
        tokio::select! {
            biased;
            signal = shutdown.signal() => {
                process.stop(signal, shutdown).await;
                return Err(Stopped { signal, during: "running a hook" }.into());
            }
            ended = process.ended() => break ended,
            () = tokio::time::sleep(silences.next()) => {
                let elapsed = text::duration(began.elapsed());
                tracing::info!("{prefix}{hook} still runs after {elapsed}");
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
    tracing::info!("{prefix}{hook} done in {}", text::duration(began.elapsed()));
    Ok(())
}
