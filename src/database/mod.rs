//! One PostgreSQL session: addresses, login, statements, cancel.

mod backend;
mod bounded;
mod connect;
mod session;

pub(crate) use connect::reason;
pub use connect::{ConnectError, Demand, connect};
pub use session::{QueryError, Rows, ServerState, Session};
