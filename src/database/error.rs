//! Why there is no session.

use std::io;
use std::time::Duration;

use tokio_postgres::error::DbError;

use super::tls::TlsError;

/// Why there is no session. [`std::fmt::Display`] says what happened at which host, without secrets.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address (yet).
    #[error("the name '{host}' does not resolve")]
    Resolve {
        /// As it was asked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody took the connection.
    #[error("{at}: {}", reason(.source))]
    Dial {
        /// Where.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// An attempt ran out of time.
    #[error("{at}: {what} within {}", crate::text::duration(*.limit))]
    TimedOut {
        /// Where.
        at: String,
        /// What did not happen.
        what: &'static str,
        /// The attempt's limit.
        limit: Duration,
    },
    /// The connection broke off before the login was complete.
    #[error("{at}: the connection broke off during the login ({})", reason(.source))]
    Broken {
        /// Where.
        at: String,
        /// Why.
        source: io::Error,
        /// Whether TLS was begun without asking whether the server knows it.
        unasked: bool,
    },
    /// TLS cannot be set up, or the server's certificate does not prove what `sslmode` demands.
    #[error("{at}: {source}")]
    Tls {
        /// Where.
        at: String,
        /// Why.
        source: TlsError,
    },
    /// The server answered with an error.
    #[error("{at}: {} ({})", .error.message(), .error.code().code())]
    Server {
        /// Where.
        at: String,
        /// What it said.
        error: Box<DbError>,
    },
    /// The server is there but is not the kind that is needed.
    #[error("{at}: {what}")]
    Unsuitable {
        /// Where.
        at: String,
        /// What it is instead.
        what: &'static str,
    },
    /// The server wants something that the configuration does not have.
    #[error("{at}: {what}")]
    Impossible {
        /// Where.
        at: String,
        /// What.
        what: String,
    },
}

impl ConnectError {
    /// Whether the answer may be another without encryption: `hostnossl` in `pg_hba.conf` makes
    /// the server refuse an encrypted login with 28000.
    pub(super) fn is_about_encryption(&self) -> bool {
        match self {
            ConnectError::Tls { .. } => true,
            ConnectError::Server { error, .. } => error.code().code() == "28000",
            _ => false,
        }
    }
}

/// An operating system's error in words, without "(os error 111)".
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed it".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut letters = text.chars();
            letters
                .next()
                .map(|first| first.to_lowercase().chain(letters).collect())
                .unwrap_or_default()
        }
    }
}
