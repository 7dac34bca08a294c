//! Applying what is pending, exactly once, in order.
//!
//! [`Source`] reads [`Migration`]s from a directory; a history table is read as [`Recorded`] rows; [`plan`] compares the two
//! without any I/O; [`run`] is the one loop that applies, in one replica at a time; [`ops`] are the other operations. What
//! differs between tools is in [`formats`], one directory per tool. A [`Migrator`] holds what every operation needs. Signals
//! are not handled in these modules: the caller races them.

mod directions;
pub(crate) mod drift;
mod error;
pub(crate) mod finding;
pub(crate) mod formats;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
pub(crate) mod lint;
mod marks;
mod migration;
mod migrator;
pub(crate) mod ops;
pub(crate) mod plan;
mod prepared;
mod run;
mod selector;
pub(crate) mod settings;
pub(crate) mod source;
mod sql;
mod unmanaged;
mod version;

pub(crate) use error::Error;
pub(crate) use history::Recorded;
pub(crate) use migration::Migration;
pub(crate) use migrator::Migrator;
pub(crate) use run::lock::hold_lock;
pub(crate) use run::{Outcome, Progress, Report};
pub(crate) use settings::Settings;
pub(crate) use source::Source;
pub(crate) use version::Version;
