//! Limits how much a server may send, so that it cannot exhaust our memory. Bytes are counted as
//! they arrive, because the crate keeps incomplete messages, and all messages of a login.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::authentication::Guard;
use super::settings::RequireAuth;

/// The most bytes of one message. An error that quotes the longest statement is shorter.
const MESSAGE: usize = 8 << 20;

/// The most bytes of one answer to [`super::Session::query`]: enough for 150,000 migrations.
const ANSWER: usize = 48 << 20;

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

    fn is_for_messages(&self) -> bool {
        self.0.load(Ordering::Relaxed) == usize::MAX
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
    /// How many bytes of a complete header are not passed on yet.
    held: usize,
    /// How many bytes are missing after the header.
    body: usize,
    /// Whether this message is not passed on.
    skips: bool,
    /// Whether a whole header has arrived.
    begun: bool,
    guard: Guard,
}

impl Framing {
    /// Consumes bytes of the current message, passes them on to `buffer` unless the message is skipped, and returns how many
    /// they were. A header is passed on once it is complete. With `may_skip`, a row or notice that is too large is skipped.
    fn follow(
        &mut self,
        bytes: &[u8],
        buffer: &mut ReadBuf<'_>,
        may_skip: bool,
    ) -> io::Result<usize> {
        if self.body > 0 {
            let room = if self.skips { usize::MAX } else { buffer.remaining() };
            let count = self.body.min(bytes.len()).min(room);
            self.guard.follow(&bytes[..count])?;
            if !self.skips {
                buffer.put_slice(&bytes[..count]);
            }
            self.body -= count;
            return Ok(count);
        }
        let missing = &mut self.header[self.known..];
        let count = missing.len().min(bytes.len());
        missing[..count].copy_from_slice(&bytes[..count]);
        self.known = (self.known + count) % self.header.len();
        if self.known == 0 {
            let [kind, length @ ..] = self.header;
            let is_text = length.iter().all(|byte| (b' '..=b'~').contains(byte));
            if kind == b'E' && is_text && !self.begun {
                return Err(early_error(&length, &bytes[count..]));
            }
            self.begun = true;
            self.guard.begin(kind);
            // The length includes its own four bytes.
            self.body = usize::try_from(i32::from_be_bytes(length))
                .ok()
                .and_then(|length| length.checked_sub(4))
                .ok_or_else(|| too_much("it sends a message of a negative length".to_owned()))?;
            let is_large = self.body > MESSAGE;
            self.skips = is_large && may_skip && matches!(kind, b'D' | b'N');
            if is_large && !self.skips {
                let (size, limit) = (self.body >> 20, MESSAGE >> 20);
                return Err(too_much(format!(
                    "it sends a message of {size} MB, and the limit is {limit} MB"
                )));
            }
            self.held = if self.skips { 0 } else { self.header.len() };
        }
        Ok(count)
    }

    /// Passes on what fits of a complete header.
    fn release(&mut self, buffer: &mut ReadBuf<'_>) {
        let held = &self.header[self.header.len() - self.held..];
        let count = held.len().min(buffer.remaining());
        buffer.put_slice(&held[..count]);
        self.held -= count;
    }
}

/// The error of a server that cannot start a process for the connection: it is plain text, as in
/// version 2 of the protocol.
fn early_error(first: &[u8], rest: &[u8]) -> io::Error {
    /// In bytes; servers send less.
    const LONGEST: usize = 300;
    let text: Vec<u8> = first.iter().chain(rest).copied().take(LONGEST).collect();
    let text = String::from_utf8_lossy(&text);
    let line = text.split(['\0', '\n']).next().unwrap_or_default();
    io::Error::other(format!("the server says: {line}"))
}

/// A stream whose reads fail once the server has sent more than its [`Allowance`]. A row or notice that is larger than a
/// message may be is left out while answers are dropped anyway: an error would come again with every attempt.
pub(super) struct Bounded<S> {
    stream: BufReader<S>,
    framing: Framing,
    allowance: Allowance,
}

impl<S: AsyncRead> Bounded<S> {
    /// `required` is how the server may ask us to authenticate, if that is limited.
    pub(super) fn new(
        stream: S,
        allowance: Allowance,
        required: Option<RequireAuth>,
    ) -> Bounded<S> {
        let framing = Framing { guard: Guard::new(required), ..Framing::default() };
        Bounded { stream: BufReader::new(stream), framing, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Bounded { stream, framing, allowance } = &mut *self;
        let mut stream = Pin::new(stream);
        let before = buffer.filled().len();
        loop {
            framing.release(buffer);
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let bytes = match stream.as_mut().poll_fill_buf(context) {
                Poll::Pending if buffer.filled().len() > before => return Poll::Ready(Ok(())),
                bytes => ready!(bytes)?,
            };
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let count = framing.follow(bytes, buffer, allowance.is_for_messages())?;
            stream.as_mut().consume(count);
            allowance.spend(count)?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
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
        self.stream.get_ref().channel_binding()
    }
}

/// TLS whose decrypted stream is [`Bounded`].
pub(super) struct BoundedTls<C> {
    pub(super) connect: C,
    pub(super) allowance: Allowance,
    pub(super) required: Option<RequireAuth>,
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
        Box::pin(async { Ok(Bounded::new(handshake.await?, self.allowance, self.required)) })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend_from_slice(&(u32::try_from(length).unwrap() + 4).to_be_bytes());
        message.resize(length + 5, 0xff);
        message
    }

    /// What is passed on of `stream`, which arrives and is read in parts of these sizes.
    fn passed_on(stream: &[u8], arrives: usize, read: usize) -> io::Result<Vec<u8>> {
        let allowance = Allowance::for_login();
        allowance.limit_messages();
        let stream = BufReader::with_capacity(arrives, stream);
        let mut bounded = Bounded { stream, framing: Framing::default(), allowance };
        let (mut all, mut part) = (Vec::new(), vec![0; read]);
        loop {
            match bounded.read(&mut part).now_or_never().unwrap()? {
                0 => return Ok(all),
                count => all.extend_from_slice(&part[..count]),
            }
        }
    }

    #[test]
    fn plain_text_before_the_protocol_begins_is_the_servers_error() {
        let error = passed_on(b"Ecould not fork: no memory\n\0", 99, 99).unwrap_err();
        assert_eq!(error.to_string(), "the server says: could not fork: no memory");
        assert_eq!(error.kind(), io::ErrorKind::Other);
        let error = passed_on(b"N\0\0\0\x05xEcould", 99, 99).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "only the first message");
    }

    #[test]
    fn an_invalid_length_is_an_error_before_the_message_arrives() {
        for (length, text) in [(-1, "negative"), (3, "negative"), (i32::MAX, "2047 MB")] {
            let mut header = vec![b'E'];
            header.extend_from_slice(&i32::to_be_bytes(length));
            let error = passed_on(&header, 8, 8).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn rows_and_notices_that_are_too_large_are_left_out() {
        let [small, end] = [message(b'D', 9), message(b'C', 0)];
        let [row, notice] = [b'D', b'N'].map(|kind| message(kind, MESSAGE + 1));
        let stream = [&small[..], &row, &small, &notice, &end].concat();
        for (arrives, read) in [(1 << 20, 7), (7, 1 << 20), (16, 16)] {
            let passed_on = passed_on(&stream, arrives, read).unwrap();
            assert_eq!(passed_on, [&small[..], &small, &end].concat());
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
        fn messages_are_passed_on_wherever_the_stream_is_split(
            lengths in prop::collection::vec(0..40_usize, 1..20),
            arrives in 1..30_usize,
            read in 1..30_usize,
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|length| message(b'D', *length)).collect();
            prop_assert_eq!(passed_on(&stream, arrives, read).unwrap(), stream);
        }
    }
}
