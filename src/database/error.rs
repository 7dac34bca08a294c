//! Why there is no session, and the system's errors in plain words.

use std::io;
use std::time::Duration;

use tokio_postgres::error::DbError;

use super::tls::TlsError;

/// Why one attempt at one host failed. Its text names the host and holds no secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The host's name has no address, or not yet.
    #[error("the name '{host}' does not resolve")]
    Resolve { host: String, source: io::Error },
    /// There is no thread or no memory to look a name up.
    #[error("cannot look up the name '{host}': {}", reason(.source))]
    Lookup { host: String, source: io::Error },
    /// The host did not take the connection.
    #[error("{at}: {}", reason(.source))]
    Dial { at: String, source: io::Error },
    /// An attempt ran out of time.
    #[error("{at}: {what} within {}", crate::text::duration(*.limit))]
    TimedOut {
        at: String,
        /// What did not happen: "the name was not resolved".
        what: &'static str,
        limit: Duration,
    },
    /// The connection broke off before the login was complete.
    #[error("{at}: the connection broke off during the login ({})", reason(.source))]
    Broken {
        at: String,
        source: io::Error,
        /// Whether TLS was begun without asking the server first (`sslnegotiation=direct`).
        unasked: bool,
    },
    /// TLS cannot be set up, or the server's certificate does not prove what `sslmode` demands.
    #[error("{at}: {source}")]
    Tls { at: String, source: TlsError },
    /// The server answered with an error.
    #[error("{at}: {} ({})", .error.message(), .error.code().code())]
    Server { at: String, error: Box<DbError> },
    /// The server is there but is not the kind that is needed.
    #[error("{at}: {what}")]
    Unsuitable { at: String, what: &'static str },
    /// The server needs something that the configuration does not have.
    #[error("{at}: {what}")]
    Impossible { at: String, what: String },
}

impl ConnectError {
    /// Whether a login without encryption may succeed. With `hostnossl` in `pg_hba.conf` the server
    /// rejects an encrypted one with 28000.
    pub(super) fn is_about_encryption(&self) -> bool {
        match self {
            // The server has TLS, and only ours does not do: no reason for clear text.
            ConnectError::Tls { source, .. } => !source.is_incompatible(),
            ConnectError::Server { error, .. } => error.code().code() == "28000",
            _ => false,
        }
    }
}

/// An operating system's error in words, without "(os error 111)".
pub(crate) fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the server closed it".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}
