//! Everything that can stop premain before the application runs, and the exit status of each.

use std::fmt;
use std::io;

use crate::exit::Exit;
use crate::shutdown::Stopped;
use crate::{hooks, migrate, wait};

/// Why premain stopped before the application ran.
#[derive(Debug)]
pub(crate) enum Error {
    /// This command needs a database, and none is configured.
    NoDatabase(&'static str),
    /// The command line is valid, but asks for something that cannot be done.
    Usage(String),
    /// The database or another target did not become ready.
    Wait(wait::Error),
    /// Migrating stopped.
    Migrate(migrate::Error),
    /// A hook stopped the start.
    Hook(hooks::Error),
    /// A signal came first.
    Stopped(Stopped),
    /// A system call that premain itself needs failed.
    System {
        /// What cannot be done, as in "cannot start the runtime".
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// The status premain ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Error::NoDatabase(_) => Exit::Config,
            Error::Usage(_) => Exit::Usage,
            Error::Wait(error) => error.exit(),
            Error::Migrate(error) => error.exit(),
            Error::Hook(hooks::Error::Failed { .. }) => Exit::Hook,
            Error::Hook(hooks::Error::System(_)) | Error::System { .. } => Exit::System,
            Error::Stopped(Stopped { signal, .. }) => Exit::Stopped(signal.number()),
        }
    }

    /// Logs it, and returns the status premain ends with.
    pub(crate) fn report(&self) -> Exit {
        match self {
            Error::Stopped(_) => tracing::info!("{self}"),
            _ => tracing::error!("{self}"),
        }
        self.exit()
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDatabase(command) => write!(
                f,
                "'premain {command}' needs a database: set DATABASE_URL, or POSTGRES_HOST and the like"
            ),
            Error::Usage(why) => f.write_str(why),
            Error::Wait(error) => error.fmt(f),
            Error::Migrate(error) => error.fmt(f),
            Error::Hook(error) => error.fmt(f),
            Error::Stopped(stopped) => stopped.fmt(f),
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
        Error::Hook(error)
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        Error::Stopped(stopped)
    }
}
