//! From a [`Database`] to a [`Session`]: one attempt, over every host and address it names.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio_postgres::config::{self as pg, SslNegotiation};
use tokio_postgres::tls::NoTls;

use super::authentication::NOT_ALLOWED;
use super::bounded::{Allowance, Bounded, BoundedTls};
use super::dial::{ADDRESS_HEAD_START, first, resolve};
use super::error::ConnectError;
use super::session::Session;
use super::settings::{ChannelBinding, Database, Host, SessionTarget, SslMode};
use super::stream::{Address, NOT_POSTGRES, Origin, Wire};
use super::tls::{Connector, TlsError};

/// How long one attempt may take where the URL has no `connect_timeout`.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long a host is tried alone before the next one is tried as well. Hosts are in an order of
/// preference, so this is longer than for addresses.
const HOST_HEAD_START: Duration = Duration::from_secs(1);

/// The first stage of an attempt, for the message if the attempt times out in it.
const NOT_TAKEN: &str = "the connection was not taken";

/// What the caller needs the server for, on top of what the URL demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Any session that logs in.
    Login,
    /// One that takes writes.
    Writes,
}

/// Tries every host, and every address of each, once. Returns the first session that can be used.
///
/// # Errors
/// One for each address that was tried.
pub(super) async fn connect(
    database: &Database,
    demand: Demand,
) -> Result<Session, Vec<ConnectError>> {
    let limit = database.connect_timeout.unwrap_or(ATTEMPT);
    let rounds = match database.session {
        SessionTarget::PreferStandby => vec![SessionTarget::Standby, SessionTarget::Any],
        wanted => vec![wanted],
    };
    let mut errors = Vec::new();
    for wanted in rounds {
        let hosts = database.hosts.iter();
        let attempts = hosts.map(async |host| {
            let session = connect_host(database, host, limit).await?;
            match unsuitable(&session, wanted, demand).await {
                None => Ok(session),
                Some(what) => {
                    session.close().await;
                    Err(vec![ConnectError::Unsuitable { at: host.to_string(), what }])
                }
            }
        });
        match first(attempts, HOST_HEAD_START).await {
            Ok(session) => return Ok(session),
            Err(more) => errors.extend(more.into_iter().flatten()),
        }
    }
    Err(errors)
}

/// Why this session's server cannot be used; `None` if it can.
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
        _ if demand == Demand::Writes && state.read_only => Some(
            "its sessions are read-only (default_transaction_read_only of the server, database or role)",
        ),
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

/// Tries every address of one host. Each of them has the whole `limit`, as in libpq.
async fn connect_host(
    database: &Database,
    host: &Host,
    limit: Duration,
) -> Result<Session, Vec<ConnectError>> {
    let late = |what| ConnectError::TimedOut { at: host.to_string(), what, limit };
    let addresses = match tokio::time::timeout(limit, addresses(host)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(vec![error]),
        Err(_) => return Err(vec![late("the name was not resolved")]),
    };
    let attempts = addresses.into_iter().map(async |address| {
        let stage = Cell::new(NOT_TAKEN);
        let attempt = connect_address(database, host, &address, &stage);
        let outcome = tokio::time::timeout(limit, attempt).await;
        outcome.unwrap_or_else(|_| Err(late(stage.get())))
    });
    first(attempts, ADDRESS_HEAD_START).await
}

async fn addresses(host: &Host) -> Result<Vec<Address>, ConnectError> {
    match host {
        Host::Unix { .. } => Ok(vec![Address::Unix(host.to_string().into())]),
        Host::Tcp { address: Some(address), port, .. } => {
            Ok(vec![Address::Tcp((*address, *port).into())])
        }
        Host::Tcp { host: name, port, .. } => {
            Ok(resolve(name, *port).await?.into_iter().map(Address::Tcp).collect())
        }
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
    let peer = database.require_peer.clone();
    let origin = Origin { address: address.clone(), host: host.clone(), connector, peer };
    match log_in(database, &origin, stage).await {
        // As libpq does for `sslmode=prefer`: if it fails encrypted, try once more without.
        Err(encrypted)
            if database.tls.mode == SslMode::Prefer && encrypted.is_about_encryption() =>
        {
            match log_in(database, &Origin { connector: None, ..origin }, stage).await {
                // The second login may have failed only because it is not encrypted.
                Err(clear) if clear.is_about_encryption() => Err(encrypted),
                outcome => outcome,
            }
        }
        outcome => outcome,
    }
}

/// One more login at an address where one succeeded before.
pub(super) async fn log_in_again(
    database: &Database,
    origin: &Origin,
) -> Result<Session, ConnectError> {
    let limit = database.connect_timeout.unwrap_or(ATTEMPT);
    let stage = Cell::new(NOT_TAKEN);
    let login = tokio::time::timeout(limit, log_in(database, origin, &stage));
    login.await.unwrap_or_else(|_| {
        Err(ConnectError::TimedOut { at: origin.host.to_string(), what: stage.get(), limit })
    })
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
            // `negotiate` has asked for TLS already. To begin with the handshake at once is what
            // the crate calls direct negotiation.
            config.ssl_mode(pg::SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            let connect = connector.for_host(&origin.host);
            let required = database.require_auth.clone();
            let tls = BoundedTls { connect, allowance: allowance.clone(), required };
            let connected = config.connect_raw(stream, tls).await;
            connected.map(|(client, connection)| {
                Session::start(client, connection, origin, database, allowance)
            })
        }
        (Wire::Encrypted(stream) | Wire::Clear(stream), _) => {
            config.ssl_mode(pg::SslMode::Disable);
            let required = database.require_auth.clone();
            let stream = Bounded::new(stream, allowance.clone(), required);
            let connected = config.connect_raw(stream, NoTls).await;
            connected.map(|(client, connection)| {
                Session::start(client, connection, origin, database, allowance)
            })
        }
    }
    .map_err(|error| {
        let unasked = origin.connector.as_ref().is_some_and(|connector| connector.direct);
        login_error(at, error, unasked)
    })
}

/// Turns the crate's error into ours.
fn login_error(at: String, error: tokio_postgres::Error, unasked: bool) -> ConnectError {
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
            (None, NOT_ALLOWED) => ConnectError::Impossible { at, what: source.to_string() },
            // A message that is too long for us, or that the crate does not understand.
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
