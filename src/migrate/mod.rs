//! Applying what is pending, exactly once, in order.
//!
//! [`Source`] reads [`Migration`]s from a directory; a history table is read as [`Recorded`] rows; [`plan`] compares the two
//! without any I/O; [`run`] is the one loop that applies, in one replica at a time; [`ops`] are the other operations. What
//! differs between tools is in [`formats`], one directory per tool. A [`Migrator`] holds what every operation needs. Signals
//! are not handled here: the caller races them.

pub mod drift;
mod error;
pub mod finding;
pub mod formats;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
pub mod lint;
pub mod migration;
mod migrator;
pub mod ops;
pub mod plan;
pub mod run;
mod selector;
pub mod settings;
pub mod source;
pub mod sql;
pub mod unmanaged;
pub mod version;

pub use error::Error;
pub use history::Recorded;
pub use migration::Migration;
pub use migrator::Migrator;
pub use run::lock::hold_lock;
pub use run::{Outcome, Progress, Report};
pub use settings::Settings;
pub use source::Source;
pub use version::Version;
