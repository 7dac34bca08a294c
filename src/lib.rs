//! premain: everything a container must do before main, and the init that looks after main.
//!
//! ```text
//! PID 1: init (no async runtime, no database)
//! │  blocks signals first, reads its configuration, forks once,
//! │  then only: forward · reap · grace · exit
//! ▼
//! child: boot ── wait ─ lock ─ migrate ─ hooks ─ launch ──exec──► the application
//!            │      │      │       │        │
//! SIGTERM ───┴──────┴──────┴───────┴────────┴──► 128+15   (cancel, roll back, release, leave)
//! ```
//!
//! The init forks before anything is waited for, and its child *becomes* the application: one
//! signal path, orphans reaped during the boot too, and nothing to tear down, because exec wipes
//! the runtime, the sockets and the secrets.
//!
//! | subject | module |
//! |---|---|
//! | configuration: arguments and environment, validated before anything else | `config` |
//! | PID 1; it imports nothing of databases and migrations | `init` |
//! | the boot: wait, migrate, hooks, launch; its runtime, and what every step needs | `boot` |
//! | the signals that stop a boot | `shutdown` |
//! | waiting: which errors are transient and which final, the pauses, other targets | `wait` |
//! | PostgreSQL: connection string, TLS, login, and `hold`, the one way to a session | `database` |
//! | migrations: reading, planning, applying; one directory per tool in `formats` | `migrate` |
//! | other programs that run before the application | `hooks` |
//! | how far the start has come, for `premain health` | `phase` |
//! | becoming the application: user, environment, exec | `launch` |
//! | logs, and what they must not show | `log`, `text`, `redact` |
//! | growing pauses, for everything that is retried | `retry` |
//! | subcommands, one file each | `commands` |
//! | exit codes, and which error has which | `exit`, `error` |
//! | system calls; the only `unsafe` code | `sys` |
//!
//! CONTRIBUTING.md has the one place for a new migration tool, transient error, subcommand, option,
//! hook or signal behaviour, and a glossary.

// `pub` means that the binary, a test or a fuzzer uses it; all else shows up when nothing uses it.
#![warn(unreachable_pub)]

mod boot;
pub mod commands;
pub mod config;
pub mod database;
mod error;
pub mod exit;
mod hooks;
pub mod init;
pub mod launch;
pub mod log;
mod migrate;
mod phase;
pub mod redact;
mod retry;
mod shutdown;
mod signal;
pub mod sys;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod wait;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use migrate::fuzzing;
