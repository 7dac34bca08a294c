//! One PostgreSQL session: addresses, login, statements, cancel.

mod connect;
mod session;

pub use connect::{ConnectError, Demand, connect};
pub(crate) use connect::reason;
pub use session::{QueryError, Rows, ServerState, Session};
