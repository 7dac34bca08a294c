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
//! The init forks before anything is waited for, and its child *becomes* the application: one signal
//! path, orphans reaped during the boot too, and nothing to tear down, because exec wipes the
//! runtime, the sockets and the secrets.
//!
//! | the story | where |
//! |---|---|
//! | what premain was told | [`config`]: command line over environment, judged in one go |
//! | PID 1 | [`init`]: knows nothing of databases |
//! | the boot | [`boot`]: wait → migrate → hooks → launch, each raced with [`shutdown`] |
//! | is it ready? | [`wait`]: the loop; what is transient and what is final |
//! | one session | [`database`]: addresses, login, statements, cancel; `tls`: what `sslmode` means |
//! | what is pending, and applying it | [`migrate`]: source, ledger, plan, lock, engine, watch |
//! | other people's programs before the application | [`hooks`] |
//! | how far the start has come, for `premain health` | [`phase`] |
//! | becoming the application | [`launch`]: user, environment, exec |
//! | what is logged, and what is hidden | [`log`], [`text`]; [`redact`] |
//! | everything else one can ask for | [`commands`]: one file per subcommand |
//! | how it ends | [`exit`]: every status; [`error`]: what maps to it |
//!
//! A new history table goes into [`migrate::ledger`], a new transient error into `wait/verdict.rs`,
//! a new subcommand into [`commands`], a new option into [`config::option`]. The only `unsafe` is in
//! [`sys`].

pub mod boot;
pub mod commands;
pub mod config;
pub mod database;
pub mod error;
pub mod exit;
pub mod hooks;
pub mod init;
pub mod launch;
pub mod log;
pub mod migrate;
mod phase;
pub mod redact;
mod retry;
pub mod shutdown;
pub mod signal;
pub mod sys;
mod text;
pub mod value;
pub mod wait;
