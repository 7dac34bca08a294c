//! From a [`Database`] to a [`Session`]: one attempt, over every host and address it names.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::config::{self as pg, SslNegotiation};
use tokio_postgres::error::DbError;
use tokio_postgres::tls::NoTls;

use super::bounded::{Allowance, Bounded, BoundedTls};
use super::session::{Origin, Session};
use super::settings::{ChannelBinding, Database, Host, SessionTarget, SslMode};
use super::tls::{Connector, TlsError};

/// How long one attempt may take where the URL has no `connect_timeout`.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A lost peer is noticed after about half a minute. Keepalive alone would not do: it never fires
/// while unacknowledged data is in flight, which is what `TCP_USER_TIMEOUT` is for.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(30);

const NOT_POSTGRES: &str = "what answers there does not speak PostgreSQL's protocol";

/// What the caller needs the server for, on top of what the URL demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Any session that logs in.
    Login,
    /// One that takes writes.
    Writes,
}

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
    fn is_about_encryption(&self) -> bool {
        match self {
            ConnectError::Tls { .. } => true,
            ConnectError::Server { error, .. } => error.code().code() == "28000",
            _ => false,
        }
    }
}

/// Tries every host, and every address of each, once; the first session that will do is taken.
///
/// # Errors
/// What each of them said.
pub async fn connect(database: &Database, demand: Demand) -> Result<Session, Vec<ConnectError>> {
    let limit = database.connect_timeout.unwrap_or(ATTEMPT);
    let mut errors = Vec::new();
    for wanted in preferences(database.session) {
        for host in &database.hosts {
            match connect_host(database, host, limit).await {
                Ok(session) => match unsuitable(&session, *wanted, demand).await {
                    None => return Ok(session),
                    Some(what) => {
                        errors.push(ConnectError::Unsuitable { at: host.to_string(), what });
                        session.close().await;
                    }
                },
                Err(more) => errors.extend(more),
            }
        }
    }
    Err(errors)
}

/// `prefer-standby` is two rounds; everything else is one.
fn preferences(target: SessionTarget) -> &'static [SessionTarget] {
    match target {
        SessionTarget::Any => &[SessionTarget::Any],
        SessionTarget::ReadWrite => &[SessionTarget::ReadWrite],
        SessionTarget::ReadOnly => &[SessionTarget::ReadOnly],
        SessionTarget::Primary => &[SessionTarget::Primary],
        SessionTarget::Standby => &[SessionTarget::Standby],
        SessionTarget::PreferStandby => &[SessionTarget::Standby, SessionTarget::Any],
    }
}

/// What this session's server is, where that will not do.
async fn unsuitable(
    session: &Session,
    wanted: SessionTarget,
    demand: Demand,
) -> Option<&'static str> {
    if wanted == SessionTarget::Any && demand == Demand::Login {
        return None;
    }
    let state = session.server_state().await.ok()?;
    let writes = !state.standby && !state.read_only;
    match wanted {
        _ if demand == Demand::Writes && state.standby => {
            Some("it is a standby, and migrations need the primary")
        }
        _ if demand == Demand::Writes && state.read_only => Some("its sessions are read-only"),
        SessionTarget::ReadWrite if !writes => {
            Some("it takes no writes (target_session_attrs=read-write)")
        }
        SessionTarget::ReadOnly if writes => {
            Some("it takes writes (target_session_attrs=read-only)")
        }
        SessionTarget::Primary if state.standby => {
            Some("it is a standby (target_session_attrs=primary)")
        }
        SessionTarget::Standby if !state.standby => {
            Some("it is no standby (target_session_attrs=standby)")
        }
        _ => None,
    }
}

/// Asks every address of one host; the limit is each one's own, as libpq has it.
async fn connect_host(
    database: &Database,
    host: &Host,
    limit: Duration,
) -> Result<Session, Vec<ConnectError>> {
    let late = |what| ConnectError::TimedOut { at: host.to_string(), what, limit };
    let addresses = match tokio::time::timeout(limit, resolve(host)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(vec![error]),
        Err(_) => return Err(vec![late("the name was not resolved")]),
    };
    let mut errors = Vec::new();
    for address in addresses {
        let stage = Cell::new("nobody took the connection");
        let attempt = connect_address(database, host, &address, &stage);
        match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => errors.push(error),
            Err(_) => errors.push(late(stage.get())),
        }
    }
    Err(errors)
}

/// Where a connection goes to: also for the second one that a cancel request needs.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

async fn resolve(host: &Host) -> Result<Vec<Address>, ConnectError> {
    match host {
        Host::Unix { .. } => Ok(vec![Address::Unix(host.to_string().into())]),
        Host::Tcp { host: name, port } => lookup_host((name.as_str(), *port))
            .await
            .map(|found| found.map(Address::Tcp).collect())
            .map_err(|source| ConnectError::Resolve { host: name.clone(), source }),
    }
}

async fn connect_address(
    database: &Database,
    host: &Host,
    address: &Address,
    stage: &Cell<&'static str>,
) -> Result<Session, ConnectError> {
    let at = host.to_string();
    let connector = match address {
        Address::Unix(_) => None,
        Address::Tcp(_) => Connector::new(&database.tls)
            .map_err(|source| ConnectError::Tls { at: at.clone(), source })?,
    };
    let origin = Origin { address: address.clone(), host: host.clone(), connector };
    match log_in(database, &origin, stage).await {
        // libpq's `prefer`: what fails encrypted is tried once more in the clear.
        Err(encrypted)
            if database.tls.mode == SslMode::Prefer && encrypted.is_about_encryption() =>
        {
            match log_in(database, &Origin { connector: None, ..origin }, stage).await {
                // That it is in the clear may be all that is wrong with the second one.
                Err(clear) if clear.is_about_encryption() => Err(encrypted),
                outcome => outcome,
            }
        }
        outcome => outcome,
    }
}

/// One more login where `origin` has led to one.
pub(super) async fn log_in_again(
    database: &Database,
    origin: &Origin,
) -> Result<Session, ConnectError> {
    let limit = database.connect_timeout.unwrap_or(ATTEMPT);
    let stage = Cell::new("nobody took the connection");
    match tokio::time::timeout(limit, log_in(database, origin, &stage)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(ConnectError::TimedOut { at: origin.host.to_string(), what: stage.get(), limit })
        }
    }
}

async fn log_in(
    database: &Database,
    origin: &Origin,
    stage: &Cell<&'static str>,
) -> Result<Session, ConnectError> {
    let at = origin.host.to_string();
    let stream = origin.open().await?;
    stage.set("it takes connections but did not answer");
    let wire = origin.negotiate(stream).await?;
    let mut config = tokio_postgres::Config::new();
    config.user(&database.user).dbname(&database.name);
    config.application_name(database.application_name.as_deref().unwrap_or("premain"));
    config.channel_binding(match database.tls.channel_binding {
        ChannelBinding::Disable => pg::ChannelBinding::Disable,
        ChannelBinding::Prefer => pg::ChannelBinding::Prefer,
        ChannelBinding::Require => pg::ChannelBinding::Require,
    });
    if let Some(password) = &database.password {
        config.password(password.expose());
    }
    if let Some(options) = database.session_options() {
        config.options(options);
    }
    let allowance = Allowance::for_login();
    match (wire, &origin.connector) {
        (Wire::Encrypted(stream), Some(connector)) => {
            // The request for TLS has been answered (see `negotiate`): what is left is the
            // handshake itself, which is what the crate calls direct negotiation.
            config.ssl_mode(pg::SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            let connect = connector.for_host(&origin.host);
            let tls = BoundedTls { connect, allowance: allowance.clone() };
            let connected = config.connect_raw(stream, tls).await;
            connected.map(|(client, connection)| {
                Session::start(client, connection, origin, database, allowance)
            })
        }
        (Wire::Encrypted(stream) | Wire::Clear(stream), _) => {
            config.ssl_mode(pg::SslMode::Disable);
            let stream = Bounded::new(stream, allowance.clone());
            let connected = config.connect_raw(stream, NoTls).await;
            connected.map(|(client, connection)| {
                Session::start(client, connection, origin, database, allowance)
            })
        }
    }
    .map_err(|error| refused(at, error, origin.connector.as_ref().is_some_and(Connector::direct)))
}

/// Sorts what the crate reports into our own kinds.
fn refused(at: String, error: tokio_postgres::Error, unasked: bool) -> ConnectError {
    if let Some(error) = error.as_db_error() {
        return ConnectError::Server { at, error: Box::new(error.clone()) };
    }
    let text = error.to_string();
    let closed = error.is_closed();
    let Some(source) = error.into_source() else {
        return if closed {
            ConnectError::Broken { at, source: io::ErrorKind::UnexpectedEof.into(), unasked }
        } else {
            ConnectError::Impossible { at, what: text }
        };
    };
    match source.downcast::<io::Error>() {
        Ok(source) => match (TlsError::from_io(&source), source.kind()) {
            (Some(tls), _) => ConnectError::Tls { at, source: tls },
            // Our own bounds on what is read, and the crate's on what is understood.
            (None, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                ConnectError::Impossible { at, what: format!("{NOT_POSTGRES} ({source})") }
            }
            (None, _) => ConnectError::Broken { at, source: *source, unasked },
        },
        Err(source) => {
            let what = match source.to_string().as_str() {
                "password missing" => {
                    "the server asks for a password, and none is configured".to_owned()
                }
                other => format!("{text}: {other}"),
            };
            ConnectError::Impossible { at, what }
        }
    }
}

/// An open connection, before the login.
pub(super) enum Wire {
    Clear(Stream),
    Encrypted(Stream),
}

/// TCP or unix: nothing above cares.
pub(super) type Stream = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Origin {
    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Stream, ConnectError> {
        let dial = |source| ConnectError::Dial { at: self.host.to_string(), source };
        Ok(match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(dial)?),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(dial)?;
                tune(&stream).map_err(dial)?;
                Box::new(stream)
            }
        })
    }

    /// Asks for TLS, where it is wanted.
    pub(super) async fn negotiate(&self, mut stream: Stream) -> Result<Wire, ConnectError> {
        /// `SSLRequest`: its length, and the protocol number that nobody will ever speak.
        const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
        let Some(connector) = &self.connector else { return Ok(Wire::Clear(stream)) };
        if connector.direct() {
            return Ok(Wire::Encrypted(stream));
        }
        let at = self.host.to_string();
        let broken = |source| ConnectError::Broken { at: at.clone(), source, unasked: false };
        stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.map_err(broken)?;
        match answer[0] {
            b'S' => Ok(Wire::Encrypted(stream)),
            b'N' if !connector.required() => Ok(Wire::Clear(stream)),
            b'N' => Err(ConnectError::Tls { at, source: TlsError::NotOffered }),
            // An error of the days before protocol 3, which the server still sends if it cannot fork.
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
