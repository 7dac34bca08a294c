//! The house rules that a program can check: imports go one way, and one word is used for one thing.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is how a test fails"
)]

mod imports;
mod words;
