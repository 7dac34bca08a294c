//! The server's process behind a session: whether it is the one that the login told of, and a second
//! session to look at it with.

use std::convert::Infallible;
use std::future::{Ready, ready};

use tokio::io::AsyncReadExt;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::connect::{ConnectError, Duplex, Stream, log_in_again};
use super::session::{QueryError, Session};

impl Session {
    /// The process id that the login told, for cancel requests. The server tells its own; a pooler
    /// or proxy that answers cancel requests itself makes one up.
    pub async fn told_backend(&self) -> Option<i32> {
        /// Length, code, process id, secret key.
        const REQUEST: usize = 16;
        // The crate keeps the number to itself, but for its cancel requests: this one goes nowhere.
        let (near, mut far) = tokio::io::duplex(REQUEST);
        let near: Stream = Box::new(near);
        self.client.cancel_token().cancel_query_raw(near, Unencrypted).await.ok()?;
        let mut request = [0; REQUEST];
        far.read_exact(&mut request).await.ok()?;
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = request;
        Some(i32::from_be_bytes([a, b, c, d]))
    }

    /// The process id of whoever answers now.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn ask_backend(&self) -> Result<Option<i32>, QueryError> {
        let rows = self.query("SELECT pg_catalog.pg_backend_pid()").await?;
        Ok(rows.first().and_then(|rows| rows.first()?.first()?.as_deref()?.parse().ok()))
    }

    /// One more session of the same login at the same address.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn another(&self) -> Result<Session, ConnectError> {
        log_in_again(&self.login, &self.origin).await
    }

    /// The process that serves this session from its login to its end, once somebody made sure of it.
    pub fn backend(&self) -> Option<i32> {
        self.backend.get()
    }

    /// Somebody did.
    pub fn is_served_by(&self, backend: i32) {
        self.backend.set(Some(backend));
    }

    /// It is a pooler's, which gets it back without locks and settings of ours at the end, whatever
    /// it does about that itself.
    pub fn is_borrowed(&self) {
        self.borrowed.set(true);
    }
}

/// Stands where a handshake would.
struct Unencrypted;

impl TlsConnect<Stream> for Unencrypted {
    type Stream = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}

impl TlsStream for Box<dyn Duplex> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
