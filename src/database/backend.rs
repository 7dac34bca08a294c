//! Which process of the server answers a session, and a second session to watch it with.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::connect::log_in_again;
use super::error::ConnectError;
use super::session::{QueryError, Session};
use super::stream::{Duplex, Stream};

impl Session {
    /// The process id that the server named at the login, for cancel requests. A server names the
    /// process that answers; a pooler or proxy that handles cancel requests makes a number up.
    pub(crate) async fn announced_backend(&self) -> Option<i32> {
        /// Length, code, process id, secret key.
        const REQUEST: usize = 16;
        // The crate uses the number in cancel requests only: this one is written to memory.
        let (near, mut far) = tokio::io::duplex(REQUEST);
        let near: Stream = Box::new(near);
        self.client.cancel_token().cancel_query_raw(near, Unencrypted).await.ok()?;
        let mut request = [0; REQUEST];
        far.read_exact(&mut request).await.ok()?;
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = request;
        Some(i32::from_be_bytes([a, b, c, d]))
    }

    /// The process id of the process that answers now.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub(crate) async fn answering_backend(&self) -> Result<Option<i32>, QueryError> {
        let rows = self.query("SELECT pg_catalog.pg_backend_pid()").await?;
        Ok(rows.first().and_then(|rows| rows.first()?.first()?.as_deref()?.parse().ok()))
    }

    /// The process that serves this session from login to end, once it is known for certain.
    pub(crate) fn backend(&self) -> Option<i32> {
        self.backend.get()
    }

    /// Sets what [`Session::backend`] returns.
    pub(crate) fn set_backend(&self, backend: i32) {
        self.backend.set(Some(backend));
    }

    /// Marks it as a pooler's: when it ends, its locks and settings are reset, which not every
    /// pooler does itself.
    pub(crate) fn set_pooled(&self) {
        self.pooled.set(true);
    }

    /// One more session of the same login at the same address, in place of the second one before.
    /// It ends with this session at the latest.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn open_second(&self) -> Result<Rc<Session>, ConnectError> {
        self.close_second().await;
        let second = Rc::new(log_in_again(&self.login, &self.origin).await?);
        second.pooled.set(self.pooled.get());
        self.second.replace(Some(Rc::clone(&second)));
        Ok(second)
    }

    /// Closes the second session, which must not be in use any more.
    pub(crate) async fn close_second(&self) {
        if let Some(second) = self.second.take().and_then(Rc::into_inner) {
            second.close().await;
        }
    }
}

/// No handshake at all.
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
