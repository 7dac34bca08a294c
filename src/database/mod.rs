//! A PostgreSQL database: connecting, statements, cancelling, and [`hold`], the one way to a session.

mod backend;
mod bounded;
mod connect;
pub mod connection_string;
mod error;
mod hold;
mod secret;
mod session;
pub mod settings;
mod stream;
pub(crate) mod tls;

pub use connect::Demand;
pub use error::ConnectError;
pub(crate) use error::reason;
pub use hold::{Login, connect, hold, probe};
pub use secret::Secret;
pub use session::{QueryError, Rows, ServerState, Session};
pub use settings::{ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode, Tls};
