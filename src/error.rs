//! Everything that can stop premain before the application runs, and the exit status of each.

use std::io;

use crate::exit::Exit;
use crate::shutdown::Stopped;
use crate::{hooks, launch, migrate, wait};

/// Why premain stopped before the application ran.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// This command needs a database, and none is configured.
    #[error("'premain {0}' needs a database: set DATABASE_URL, or POSTGRES_HOST and the like")]
    NoDatabase(&'static str),
    /// The command line is valid, but asks for something that cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The database or another target did not become ready.
    #[error(transparent)]
    Wait(#[from] wait::Error),
    /// Migrating stopped.
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
    /// A hook stopped the start.
    #[error(transparent)]
    Hook(#[from] hooks::Error),
    /// The application cannot be executed.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// A signal came first.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A system call that premain itself needs failed; `what` is, for example, "start the runtime".
    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

impl Error {
    /// The status premain ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Error::NoDatabase(_) => Exit::Config,
            Error::Usage(_) => Exit::Usage,
            Error::Wait(error) => error.exit(),
            Error::Migrate(error) => error.exit(),
            Error::Launch(error) => error.exit(),
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
