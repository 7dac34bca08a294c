//! Runs the user's own programs before the application, one after the other.
//!
//! A hook starts with the signals, environment and working directory that the application will
//! have. It has its own process group, an empty standard input, and its output becomes lines of the
//! log. A signal that stops the boot is forwarded to the hook first.

#![forbid(unsafe_code)]

pub(crate) mod command;
pub(crate) mod entrypoint;
mod process;
mod settings;
pub(crate) mod variables;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::retry::{Pauses, Policy};
use crate::shutdown::{Shutdown, Stopped};
use crate::sys::{End, Inherited};
use crate::{launch, text};
pub(crate) use command::Hook;
use process::Process;
pub(crate) use settings::Settings;

/// How long to wait between two log lines that say that a hook still runs.
const SILENCE: Policy = Policy::doubling(Duration::from_secs(2), Duration::from_mins(1));

/// Why the boot cannot continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A hook failed.
    #[error("{hook} {cause}; {consequence}")]
    Failed {
        /// `--before-migrate (pg_dump)`
        hook: String,
        cause: Cause,
        /// What that means for the database and the application.
        consequence: &'static str,
    },
    /// A system call failed that is needed to run a hook.
    #[error("cannot run a hook: {0}")]
    System(io::Error),
}

/// Why a hook failed.
#[derive(Debug)]
pub(crate) enum Cause {
    /// It ended, but not with status 0.
    Ended(End),
    /// It could not be started.
    NotStarted(launch::Error),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Ended(End::Exited(status)) => {
                write!(f, "failed: it exited with status {status}")
            }
            Cause::Ended(End::Killed(signal)) => {
                write!(f, "failed: it was killed by {signal} (signal {})", signal.number())
            }
            Cause::NotStarted(error) => write!(f, "did not start: {error}"),
        }
    }
}

/// The circumstances in which a hook runs.
pub(crate) struct Occasion {
    /// The whole environment of the hook.
    pub environment: Vec<(OsString, OsString)>,
    /// The beginning of the log lines about it.
    pub prefix: &'static str,
    /// What a failure means, for its message: "the application was not started".
    pub consequence: &'static str,
}

/// Runs a hook until it ends, and logs its output. A signal that stops the boot is forwarded.
///
/// # Errors
/// Why it failed, or the signal that stopped it.
pub(crate) async fn run<E: From<Error> + From<Stopped>>(
    hook: &Hook,
    occasion: Occasion,
    inherited: &Inherited,
    shutdown: &Shutdown,
) -> Result<(), E> {
    let Occasion { environment, prefix, consequence } = occasion;
    let began = Instant::now();
    let launch = launch::Settings { user: None, environment };
    let failed = |cause| Error::Failed { hook: hook.to_string(), cause, consequence };
    let mut process = match Process::start(hook, &launch, inherited) {
        Ok(process) => process,
        Err(process::Error::Launch(error)) => return Err(failed(Cause::NotStarted(error)).into()),
        Err(process::Error::System(error)) => return Err(Error::System(error).into()),
    };
    tracing::info!("{prefix}running {hook} (pid {})", process.pid);
    let mut silences = Pauses::new(SILENCE);
    let end = loop {
        tokio::select! {
            biased;
            signal = shutdown.signal() => {
                process.stop(signal, shutdown).await;
                return Err(Stopped { signal, during: "running a hook" }.into());
            }
            end = process.ended() => break end,
            () = tokio::time::sleep(silences.next()) => {
                let elapsed = text::duration(began.elapsed());
                tracing::info!("{prefix}{hook} still runs after {elapsed}");
            }
        }
    };
    if end != End::Exited(0) {
        return Err(failed(Cause::Ended(end)).into());
    }
    if process.is_shared() {
        tracing::warn!(
            "{hook} left a process behind that shares its output, which is no longer read: \
             redirect the output of that process, for example to /proc/1/fd/2"
        );
    }
    tracing::info!("{prefix}{hook} done in {}", text::duration(began.elapsed()));
    Ok(())
}
