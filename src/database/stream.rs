//! One connection to a server, before the login: TCP or a unix socket, and whether it is encrypted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::error::ConnectError;
use super::settings::{Host, Peer};
use super::tls::{Connector, TlsError};

/// A lost peer is noticed after about half a minute. Keepalive alone would not do: it never fires
/// while unacknowledged data is in flight, which is what `TCP_USER_TIMEOUT` is for.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const NOT_POSTGRES: &str = "what answers there does not speak PostgreSQL's protocol";

/// One address of a host.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

/// The address that a login succeeded at: its cancel requests and a second login go there, too.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) address: Address,
    pub(super) host: Host,
    pub(super) connector: Option<Connector>,
    /// The user that the server behind a unix socket must run as.
    pub(super) peer: Option<Peer>,
}

/// An open connection, before the login.
pub(super) enum Wire {
    Clear(Stream),
    Encrypted(Stream),
}

/// A TCP connection or a unix socket.
pub(super) type Stream = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Origin {
    /// Opens a connection to it.
    pub(super) async fn open(&self) -> Result<Stream, ConnectError> {
        let dial = |source| ConnectError::Dial { at: self.host.to_string(), source };
        Ok(match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(dial)?;
                if let Some(Peer { name, uid }) = &self.peer {
                    let found = stream.peer_cred().map_err(dial)?.uid();
                    if found != *uid {
                        let what = format!(
                            "the server runs as user {found}, not as requirepeer={name} ({uid})"
                        );
                        return Err(ConnectError::Impossible { at: self.host.to_string(), what });
                    }
                }
                Box::new(stream)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(dial)?;
                tune(&stream).map_err(dial)?;
                Box::new(stream)
            }
        })
    }

    /// Asks for TLS if it is wanted.
    pub(super) async fn negotiate(&self, mut stream: Stream) -> Result<Wire, ConnectError> {
        /// `SSLRequest`: its length, and its number in place of a protocol version.
        const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
        let Some(connector) = &self.connector else { return Ok(Wire::Clear(stream)) };
        if connector.direct {
            return Ok(Wire::Encrypted(stream));
        }
        let at = self.host.to_string();
        let broken = |source| ConnectError::Broken { at: at.clone(), source, unasked: false };
        stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map_err(broken)?;
        match answer[0] {
            b'S' => Ok(Wire::Encrypted(stream)),
            b'N' if !connector.required => Ok(Wire::Clear(stream)),
            b'N' => Err(ConnectError::Tls { at, source: TlsError::NotOffered }),
            // The server cannot fork: it sends an error in the format of protocol 2.
            b'E' => Err(broken(io::Error::other("the server could not start a process for it"))),
            _ => Err(ConnectError::Impossible { at, what: NOT_POSTGRES.to_owned() }),
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
