//! What happened before the application, as the one line that is logged about it.

use std::fmt;
use std::time::Duration;

use crate::migrate::Report;
use crate::text;

/// What happened before the application.
#[derive(Debug)]
pub(crate) struct Summary {
    /// For how long, in how many attempts.
    pub(super) waited: Option<(Duration, u32)>,
    pub(super) migrations: Migrations,
}

/// What was done about migrations.
#[derive(Debug)]
pub(super) enum Migrations {
    Applied(Report),
    /// There are none, or none were to be applied.
    None,
    /// Why they were not applied.
    Skipped(&'static str),
}

impl fmt::Display for Summary {
    /// `wait 1.2s (7 attempts), migrations 4 applied in 240ms`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((elapsed, attempts)) = self.waited {
            let attempts = text::count(attempts as usize, "attempt");
            write!(f, "wait {} ({attempts}), ", text::duration(elapsed))?;
        }
        match &self.migrations {
            Migrations::Applied(Report { applied: 0, before, .. }) => {
                write!(f, "migrations none pending ({before} applied before)")
            }
            Migrations::Applied(Report { applied, elapsed, .. }) => {
                write!(f, "migrations {applied} applied in {}", text::duration(*elapsed))
            }
            Migrations::None => f.write_str("no migrations"),
            Migrations::Skipped(why) => write!(f, "migrations skipped: {why}"),
        }
    }
}
