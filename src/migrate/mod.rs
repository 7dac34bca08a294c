//! Applying what is pending, exactly once, in order.
//!
//! `Source` (embedded, or a folder) → [`Migration`]s on disk; a [`ledger`] (one history table's
//! dialect, pure) ↔ [`Applied`] rows; [`plan`] compares the two without any I/O; [`engine`] is the
//! one loop that applies. Signals are none of this module's business: its caller races it.

pub mod adoption;
mod apply;
mod diagnose;
pub mod engine;
mod error;
mod key;
pub mod ledger;
mod lock;
pub mod plan;
pub mod source;
mod statements;
mod transaction;

pub use engine::{Outcome, Report, run};
pub use error::Error;
pub use key::{Digits, Key, Name};
pub use ledger::Applied;
pub use source::{Migration, Source};
