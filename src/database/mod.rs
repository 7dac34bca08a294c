//! A PostgreSQL database: connecting, statements, cancelling; [`hold()`] is the way to a session.

mod authentication;
mod backend;
mod bounded;
mod connect;
pub mod connection_string;
mod dial;
mod error;
mod hold;
mod secret;
mod session;
pub mod settings;
mod stream;
pub(crate) mod tls;

pub(crate) use connect::Demand;
pub(crate) use dial::dial;
pub(crate) use error::ConnectError;
pub(crate) use error::reason;
pub(crate) use hold::{Login, connect, hold, probe};
pub(crate) use session::{QueryError, Rows, Session};
pub(crate) use settings::{
    ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode, TlsVersion,
};
