//! Applying what is pending, exactly once, in order.
//!
//! `Source` (embedded, or a folder) → [`Migration`]s on disk; a [`ledger`] (one history table's
//! dialect, pure) ↔ [`Applied`] rows; [`plan`] compares the two without any I/O; [`engine`] is the
//! one loop that applies, one replica at a time (`lock`, `pooler`), and says what takes its time
//! (`watch`). Signals are none of this module's business: its caller races it.

pub mod adoption;
mod apart;
mod apply;
mod diagnose;
pub mod empty;
pub mod engine;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod key;
pub mod ledger;
mod lock;
pub mod plan;
mod pooler;
pub mod preview;
pub mod rollback;
pub mod settings;
mod sight;
pub mod source;
mod sqlstate;
mod statements;
mod transaction;
pub mod validate;
mod watch;

pub use engine::{Outcome, Progress, Report, hold_lock, run};
pub use error::Error;
pub use key::{Digits, Dotted, Key, Name};
pub use ledger::Applied;
pub use settings::Settings;
pub use source::{Migration, Source};
