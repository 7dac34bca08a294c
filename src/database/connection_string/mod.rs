//! From a connection string, or single parameters, to a [`Database`](super::Database).

mod authentication;
mod parameters;
pub(crate) mod settings;
mod tls;
pub mod url;
