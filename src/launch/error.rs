//! Why the application could not be started.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::exit::Exit;

/// Why the application could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program does not exist.
    #[error("cannot find {program:?}: {why}")]
    NotFound {
        /// As it was given.
        program: OsString,
        /// Where premain looked for it.
        why: String,
    },
    /// The program exists, but it cannot be executed.
    #[error("cannot execute {}: {why}", .program.display())]
    CannotExecute {
        /// Where it was found.
        program: PathBuf,
        /// The kernel's error, and its cause.
        why: String,
    },
    /// premain may not become the user of `--user`.
    #[error(
        "cannot become user {name} (uid {uid}, gid {gid}) for the application: {source}; only root \
         with the capabilities SETUID and SETGID can: start the container as root, or as that user \
         and without --user"
    )]
    User {
        /// As it was given.
        name: String,
        /// The user's number.
        uid: u32,
        /// The number of the user's group.
        gid: u32,
        /// The kernel's error.
        source: Errno,
    },
    /// An argument or variable that cannot be given to a program.
    #[error("{0:?} contains a nul byte, which arguments and variables cannot contain")]
    Nul(OsString),
}

impl Error {
    /// The exit code for this error.
    pub fn exit(&self) -> Exit {
        match self {
            Error::NotFound { .. } => Exit::NotFound,
            Error::CannotExecute { .. } => Exit::CannotExecute,
            Error::User { .. } | Error::Nul(_) => Exit::Config,
        }
    }
}
