//! Drift: differences between the migrations on disk and the history table, and what to do about them.

use std::fmt;
use std::path::PathBuf;

use super::marks::Direction;
use crate::text;

/// What to do about one kind of drift: the values of the `--on-…` options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Stop the start.
    Fail,
    /// Log a warning and continue.
    Warn,
    /// Continue silently.
    Ignore,
}

impl Policy {
    /// Every policy with its name in the options.
    pub(crate) const ALL: &[(&str, Policy)] =
        &[("fail", Policy::Fail), ("warn", Policy::Warn), ("ignore", Policy::Ignore)];

    /// Its name in the options: `warn`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::Fail => "fail",
            Policy::Warn => "warn",
            Policy::Ignore => "ignore",
        }
    }
}

/// The user's policy for each kind of drift; `None` means what the native tool does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OnDrift {
    /// `--on-edited`
    pub(crate) edited: Option<Policy>,
    /// `--on-missing`
    pub(crate) missing: Option<Policy>,
    /// `--on-ahead`
    pub(crate) ahead: Option<Policy>,
    /// `--on-out-of-order`
    pub(crate) out_of_order: Option<Policy>,
}

/// What to do about a pending migration that is older than an applied one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutOfOrder {
    /// Stop the start.
    Fail,
    /// Apply it and log a warning.
    Apply,
    /// Apply it silently.
    ApplySilently,
    /// Never apply it, and log a warning: Drizzle before 1.0.
    Skip,
}

/// What to do about each kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// A file is not the one that was applied.
    pub(crate) edited: Policy,
    /// An applied migration has no file, although newer migrations have one.
    pub(crate) missing: Policy,
    /// A pending migration is older than an applied one.
    pub(crate) out_of_order: OutOfOrder,
    /// The history table records migrations newer than every file: an older image was started.
    pub(crate) ahead: Policy,
}

impl Rules {
    /// These rules, overridden by the user's. [`OutOfOrder::Skip`] cannot be chosen: it is Drizzle's own rule, and the
    /// alternatives to it are to apply or to stop.
    #[must_use]
    pub(crate) fn with_overrides(self, wanted: &OnDrift) -> Rules {
        Rules {
            edited: wanted.edited.unwrap_or(self.edited),
            missing: wanted.missing.unwrap_or(self.missing),
            ahead: wanted.ahead.unwrap_or(self.ahead),
            out_of_order: match wanted.out_of_order {
                None => self.out_of_order,
                Some(Policy::Fail) => OutOfOrder::Fail,
                Some(Policy::Warn) => OutOfOrder::Apply,
                Some(Policy::Ignore) => OutOfOrder::ApplySilently,
            },
        }
    }

    /// What these rules say about `drift`.
    pub(crate) fn policy(&self, drift: &Drift) -> Policy {
        match drift {
            Drift::Edited { .. } => self.edited,
            Drift::Missing { .. } => self.missing,
            Drift::OutOfOrder { rule, .. } => match rule {
                OutOfOrder::Fail => Policy::Fail,
                OutOfOrder::Apply | OutOfOrder::Skip => Policy::Warn,
                OutOfOrder::ApplySilently => Policy::Ignore,
            },
            Drift::Ahead { .. } => self.ahead,
            Drift::Failed { .. } => Policy::Fail,
        }
    }
}

/// One difference between the migrations on disk and the history table. Migrations are named by their
/// titles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drift {
    /// A file is not the one that was applied.
    Edited {
        /// The migration.
        migration: String,
        /// Its file.
        file: PathBuf,
        /// When it was applied, if the history table records that.
        applied_on: Option<String>,
    },
    /// An applied migration has no file, although newer migrations have one.
    Missing {
        /// The migration.
        migration: String,
    },
    /// A pending migration is older than an applied one.
    OutOfOrder {
        /// The migration.
        migration: String,
        /// Its file.
        file: PathBuf,
        /// The newest applied migration.
        newest: String,
        /// What happens to the pending one.
        rule: OutOfOrder,
    },
    /// The history table records migrations newer than every file.
    Ahead {
        /// The migrations without a file.
        migrations: Vec<String>,
    },
    /// A migration stopped halfway; parts of it may be in the database.
    Failed {
        /// The migration.
        migration: String,
        /// Which of its scripts.
        direction: Direction,
        /// What is known about that, and what to do.
        why: String,
    },
}

impl Drift {
    /// The titles of the migrations that it is about.
    pub(crate) fn migrations(&self) -> &[String] {
        match self {
            Drift::Edited { migration, .. }
            | Drift::Missing { migration }
            | Drift::OutOfOrder { migration, .. }
            | Drift::Failed { migration, .. } => std::slice::from_ref(migration),
            Drift::Ahead { migrations } => migrations,
        }
    }

    /// Whether it may only be a migration that its own tool is running right now.
    pub(crate) fn may_be_running(&self) -> bool {
        matches!(self, Drift::Failed { .. })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drift::Edited { migration, file, applied_on } => {
                write!(f, "migration {migration} was edited after it was applied")?;
                if let Some(applied_on) = applied_on {
                    write!(f, " on {applied_on}")?;
                }
                write!(
                    f,
                    "; restore {} as it was, and put the change into a new migration",
                    file.display()
                )
            }
            Drift::Missing { migration } => write!(
                f,
                "migration {migration} is applied but has no file; restore it, or deploy the image that holds it"
            ),
            Drift::OutOfOrder { migration, newest, file, rule: OutOfOrder::Fail } => write!(
                f,
                "migration {migration} is out of order: {newest} is already applied; give {} a higher number",
                file.display()
            ),
            Drift::OutOfOrder {
                migration,
                newest,
                rule: OutOfOrder::Apply | OutOfOrder::ApplySilently,
                ..
            } => write!(
                f,
                "migration {migration} is out of order: {newest} is already applied; it is applied nevertheless"
            ),
            Drift::OutOfOrder { migration, newest, rule: OutOfOrder::Skip, .. } => write!(
                f,
                "migration {migration} is skipped, as Drizzle skips it: its 'when' is not above that of {newest}, which \
                 is already applied; to have it applied, raise its 'when' in meta/_journal.json"
            ),
            Drift::Ahead { migrations } => write!(
                f,
                "the database is ahead of this image: migration {} has no file; \
                 this is normal after an application rollback",
                text::list(migrations)
            ),
            Drift::Failed { migration, direction: Direction::Up, why } => {
                write!(f, "migration {migration} failed halfway: {why}")
            }
            Drift::Failed { migration, direction: Direction::Down, why } => {
                write!(f, "migration {migration} is rolled back only halfway: {why}")
            }
        }
    }
}
