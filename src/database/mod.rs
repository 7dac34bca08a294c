//! One PostgreSQL session: addresses, login, statements, cancel.

mod backend;
mod bounded;
mod connect;
pub mod connection_string;
mod secret;
mod session;
pub mod settings;
pub(crate) mod tls;

pub(crate) use connect::reason;
pub use connect::{ConnectError, Demand, connect};
pub use secret::Secret;
pub use session::{QueryError, Rows, ServerState, Session};
pub use settings::{ChannelBinding, Database, Host, RootCertificates, SessionTarget, SslMode, Tls};
