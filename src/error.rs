//! Everything that can stop premain, and what each is worth as an exit status.

use std::fmt;
use std::io;

use crate::config::Problems;
use crate::exit::Exit;
use crate::signal::Signal;
use crate::{hooks, migrate, wait};

/// Why premain stopped before the application ran.
#[derive(Debug)]
pub enum Error {
    /// It was told something that cannot work.
    Config(Problems),
    /// `premain wait` and its like, and no database is configured.
    NoDatabase(&'static str),
    /// A command was asked for something that has no meaning here.
    Usage(String),
    /// The database or another target did not become ready.
    Wait(wait::Error),
    /// Migrating stopped.
    Migrate(migrate::Error),
    /// A hook stopped the start.
    Hook(hooks::Error),
    /// A signal came first.
    Stopped {
        /// Which.
        signal: Signal,
        /// What it interrupted.
        during: &'static str,
    },
    /// The operating system refused something that premain needs for itself.
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The status premain ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Config(problems) => problems.exit(),
            Error::NoDatabase(_) => Exit::Config,
            Error::Usage(_) => Exit::Usage,
            Error::Wait(error) => error.exit(),
            Error::Migrate(error) => error.exit(),
            Error::Hook(hooks::Error::Failed { .. }) => Exit::Hook,
            Error::Hook(hooks::Error::System(_)) => Exit::System,
            Error::Hook(hooks::Error::Stopped(signal)) | Error::Stopped { signal, .. } => {
                Exit::Stopped(signal.number())
            }
            Error::System { .. } => Exit::System,
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(problems) => problems.fmt(f),
            Error::NoDatabase(command) => write!(
                f,
                "'premain {command}' needs a database: set DATABASE_URL, or POSTGRES_HOST and its kin"
            ),
            Error::Usage(why) => f.write_str(why),
            Error::Wait(error) => error.fmt(f),
            Error::Migrate(error) => error.fmt(f),
            Error::Hook(error) => error.fmt(f),
            Error::Stopped { signal, during } => {
                write!(f, "stopped by {signal} while {during}; the application was not started")
            }
            Error::System { what, source } => write!(f, "cannot {what}: {source}"),
        }
    }
}

impl From<wait::Error> for Error {
    fn from(error: wait::Error) -> Self {
        Error::Wait(error)
    }
}

impl From<migrate::Error> for Error {
    fn from(error: migrate::Error) -> Self {
        Error::Migrate(error)
    }
}

impl From<hooks::Error> for Error {
    fn from(error: hooks::Error) -> Self {
        match error {
            hooks::Error::Stopped(signal) => Error::Stopped { signal, during: "running a hook" },
            error => Error::Hook(error),
        }
    }
}
