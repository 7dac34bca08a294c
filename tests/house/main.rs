//! The house rules that a program can check: imports go one way, and the documentation states what the code does.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is how a test fails"
)]

mod imports;
