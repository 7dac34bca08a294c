//! From a name to a connection: looking it up, and trying its addresses so that none keeps the
//! others from being tried.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::error::ConnectError;

/// How long an address is tried alone before the next one is tried as well, so that one that
/// swallows packets does not take the time of the others.
pub(super) const ADDRESS_HEAD_START: Duration = Duration::from_millis(250);

/// Makes the attempts one after the other, but without waiting longer than `head_start` for one
/// before the next begins. Returns what the first that succeeds returns.
///
/// # Errors
/// Those of all attempts.
pub(super) async fn first<T, E, F: Future<Output = Result<T, E>>>(
    attempts: impl Iterator<Item = F>,
    head_start: Duration,
) -> Result<T, Vec<E>> {
    let mut attempts = attempts.fuse().peekable();
    let mut running: FuturesUnordered<Pin<Box<F>>> = FuturesUnordered::new();
    let mut errors = Vec::new();
    loop {
        running.extend(attempts.next().map(Box::pin));
        let is_last = attempts.peek().is_none();
        tokio::select! {
            biased;
            outcome = running.next() => match outcome {
                Some(Ok(value)) => return Ok(value),
                Some(Err(error)) => errors.push(error),
                None if is_last => return Err(errors),
                None => {}
            },
            () = tokio::time::sleep(head_start), if !is_last => {}
        }
    }
}

/// The addresses of a name.
///
/// # Errors
/// [`ConnectError::Resolve`] or [`ConnectError::Lookup`].
pub(super) async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, receiver) = oneshot::channel();
    let owned = name.to_owned();
    // Not on a thread of the runtime: that panics if the system has none left. The C library gives
    // up after a while, so not many of them can wait at once.
    let lookup = move || {
        let found = (owned.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        let _ = sender.send(found);
    };
    let thread = thread::Builder::new().name("lookup".to_owned()).spawn(lookup);
    thread.map_err(|source| ConnectError::Lookup { host: name.to_owned(), source })?;
    let found = receiver.await.map_err(io::Error::other).flatten();
    found.map_err(|source| ConnectError::Resolve { host: name.to_owned(), source })
}

/// Connects to the first address of a host that takes the connection.
///
/// # Errors
/// One for each address, or that the name has none.
pub(crate) async fn dial(host: &str, port: u16) -> Result<TcpStream, Vec<ConnectError>> {
    let addresses = resolve(host, port).await.map_err(|error| vec![error])?;
    let attempts = addresses.into_iter().map(async |address| {
        let dial = |source| ConnectError::Dial { at: address.to_string(), source };
        TcpStream::connect(address).await.map_err(dial)
    });
    first(attempts, ADDRESS_HEAD_START).await
}
