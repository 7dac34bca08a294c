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
mod config;
mod dbmate;
mod drizzle;
mod drizzle1;
mod golang_migrate;
mod goose;
mod logs;
mod migrating;
mod prisma;
mod refinery;
mod shutdown;
mod sql;
mod sqlx;
mod standby;
mod status;
mod targets;
mod tls;
mod waiting;
mod wire;
