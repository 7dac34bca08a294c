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
mod hostile_folders;
mod large;
mod logs;
mod migrating;
mod mistakes;
mod odd_folders;
mod prisma;
mod refinery;
mod round_trip;
mod shutdown;
mod sql;
mod standby;
mod status;
mod targets;
mod tls;
mod waiting;
mod wire;
