//! premain against real PostgreSQL servers.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is how a test fails"
)]

mod support;

mod boot;
mod commands;
mod faults;
mod formats;
mod migrate;
