//! Limits how much a server may send, so that it cannot exhaust our memory. Bytes are counted as
//! they arrive, because the crate keeps incomplete messages, and all messages of a login.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The most bytes of one message. An error that quotes the longest statement is shorter.
const MESSAGE: usize = 8 << 20;

/// The most bytes of one answer to [`super::Session::query`]: enough for 100,000 migrations.
const ANSWER: usize = 16 << 20;

/// The most bytes of a login.
const LOGIN: usize = 256 << 10;

/// How many bytes a server may still send before its answer is complete; shared with the session.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn for_login() -> Allowance {
        Allowance(Arc::new(AtomicUsize::new(LOGIN)))
    }

    /// The next answer is kept in memory.
    pub(super) fn limit_answer(&self) {
        self.0.store(ANSWER, Ordering::Relaxed);
    }

    /// The next answer is read and dropped message by message, so only those are limited.
    pub(super) fn limit_messages(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        match left.checked_sub(bytes) {
            Some(rest) if left != usize::MAX => self.0.store(rest, Ordering::Relaxed),
            Some(_) => {}
            None => return Err(too_much("its answer does not end".to_owned())),
        }
        Ok(())
    }
}

fn too_much(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The position in the server's stream of messages.
#[derive(Default)]
struct Framing {
    /// One byte for the kind and four for the length.
    header: [u8; 5],
    /// How many bytes of the header have arrived.
    known: usize,
    /// How many bytes are missing after the header.
    body: usize,
}

impl Framing {
    fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.body > 0 {
                let (_, next) = bytes.split_at(self.body.min(bytes.len()));
                self.body -= bytes.len() - next.len();
                bytes = next;
                continue;
            }
            self.header[self.known] = *first;
            self.known = (self.known + 1) % self.header.len();
            bytes = rest;
            if self.known == 0 {
                let [_, length @ ..] = self.header;
                // The length includes its own four bytes.
                self.body = usize::try_from(i32::from_be_bytes(length))
                    .ok()
                    .and_then(|length| length.checked_sub(4))
                    .ok_or_else(|| {
                        too_much("it sends a message of a negative length".to_owned())
                    })?;
                if self.body > MESSAGE {
                    let (size, limit) = (self.body >> 20, MESSAGE >> 20);
                    return Err(too_much(format!(
                        "it sends a message of {size} MB, and the limit is {limit} MB"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A stream whose reads fail once the server has sent more than its [`Allowance`].
pub(super) struct Bounded<S> {
    stream: S,
    framing: Framing,
    allowance: Allowance,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, allowance: Allowance) -> Bounded<S> {
        Bounded { stream, framing: Framing::default(), allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = &buffer.filled()[before..];
        self.framing.follow(bytes)?;
        self.allowance.spend(bytes.len())?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Bounded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// TLS whose decrypted stream is [`Bounded`].
pub(super) struct BoundedTls<C> {
    pub(super) connect: C,
    pub(super) allowance: Allowance,
}

impl<S, C> TlsConnect<S> for BoundedTls<C>
where
    C: TlsConnect<S, Stream: Send + 'static, Future: Send + 'static>,
{
    type Stream = Bounded<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshake = self.connect.connect(stream);
        Box::pin(async { Ok(Bounded::new(handshake.await?, self.allowance)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![b'D'];
        message.extend_from_slice(&(u32::try_from(length).unwrap() + 4).to_be_bytes());
        message.resize(length + 5, 0xff);
        message
    }

    #[test]
    fn an_invalid_length_is_an_error_before_the_message_arrives() {
        for (length, text) in [(-1, "negative"), (3, "negative"), (i32::MAX, "2047 MB")] {
            let mut header = vec![b'E'];
            header.extend_from_slice(&i32::to_be_bytes(length));
            let error = Framing::default().follow(&header).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn an_answer_that_exceeds_its_allowance_is_an_error() {
        let allowance = Allowance::for_login();
        allowance.spend(LOGIN).unwrap();
        allowance.spend(1).unwrap_err();
        allowance.limit_answer();
        allowance.spend(ANSWER).unwrap();
        allowance.limit_messages();
        for _ in 0..3 {
            allowance.spend(usize::MAX).unwrap();
        }
    }

    proptest! {
        #[test]
        fn messages_are_followed_wherever_the_stream_is_split(
            lengths in prop::collection::vec(0..40_usize, 1..20),
            parts in prop::collection::vec(1..30_usize, 1..20),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            let (mut framing, mut rest) = (Framing::default(), &stream[..]);
            for part in parts.iter().cycle() {
                let (read, more) = rest.split_at((*part).min(rest.len()));
                framing.follow(read).unwrap();
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!((framing.known, framing.body), (0, 0));
        }
    }
}
