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
mod completions;
mod config;
mod dbmate;
mod drift;
mod drizzle;
mod drizzle1;
mod faults;
mod flyway;
mod golang_migrate;
mod goose;
mod health;
mod hooks;
mod hostile;
mod hostile_folders;
mod large;
mod logs;
mod losing;
mod migrating;
mod mistakes;
mod neuroagent;
mod new;
mod odd_folders;
mod plan;
mod pooler;
mod prisma;
mod racing;
mod refinery;
mod reset;
mod resolve;
mod rollback;
mod round_trip;
mod secrets;
mod shutdown;
mod splitting;
mod sql;
mod sqlx;
mod standby;
mod status;
mod stopping_hooks;
mod targets;
mod tls;
mod validate;
mod waiting;
mod watching;
mod wire;
