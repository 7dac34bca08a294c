//! premain against real PostgreSQL servers.

#[path = "../support/mod.rs"]
mod support;

mod migrating;
mod refinery;
mod shutdown;
mod status;
mod wire;
