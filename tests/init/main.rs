//! What the init promises, tested on the real binary: as PID 1 of a fresh namespace, as a child
//! subreaper beside unrelated processes, in empty roots, at real terminals.
//!
//! The tests need root and Linux, and the packages that they name when they miss one.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is how a test fails"
)]
#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::borrow_as_ptr,
    reason = "a test sets up by system calls what an init is to find"
)]

mod children;
mod command_line;
mod exit;
mod harness;
mod hooks;
mod minimal_containers;
mod other_inits;
mod privilege;
mod resources;
mod signals;
mod terminal;
