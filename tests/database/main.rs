//! premain against real PostgreSQL servers.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is how a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod adopting;
mod apart;
mod config;
mod drizzle;
mod drizzle1;
mod faults;
mod health;
mod hooks;
mod hostile;
mod large;
mod logs;
mod losing;
mod migrating;
mod mistakes;
mod prisma;
mod refinery;
mod secrets;
mod shutdown;
mod sql;
mod standby;
mod status;
mod stopping_hooks;
mod targets;
mod tls;
mod waiting;
mod wire;
