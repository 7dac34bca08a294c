//! What is pending, and how the folder and the history table disagree: a pure function of both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Key;
use super::ledger::Applied;
use super::settings::OnDrift;
pub use super::settings::Policy;
use super::source::{Migration, Order};

/// What to do about a file that is older than what is applied, and is not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfOrder {
    /// Stop.
    Fail,
    /// Say so and apply it.
    Apply,
    /// Apply it.
    ApplySilently,
    /// Say so and never apply it.
    Skip,
}

/// What to do about each kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A file is not what was applied.
    pub edited: Policy,
    /// A recorded migration has no file although newer ones do.
    pub missing: Policy,
    /// A file is older than what is applied, and is not applied.
    pub out_of_order: OutOfOrder,
    /// The database knows migrations newer than every file: an older image was started.
    pub ahead: Policy,
}

/// One disagreement between the folder and the history table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// A file is not what was applied.
    Edited {
        /// `3 add_orders`
        migration: String,
        /// Its file.
        file: PathBuf,
        /// When it was applied, where that is recorded.
        applied_on: Option<String>,
    },
    /// A recorded migration has no file although newer ones do.
    Missing {
        /// `3 add_orders`
        migration: String,
    },
    /// A file is older than what is applied, and is not applied.
    OutOfOrder {
        /// `3 add_orders`
        migration: String,
        /// Its file.
        file: PathBuf,
        /// The newest one that is applied.
        newest: Key,
        /// What becomes of it.
        then: OutOfOrder,
    },
    /// The database knows migrations newer than every file.
    Ahead {
        /// The ones without a file.
        migrations: Vec<String>,
    },
    /// A migration stopped halfway, and some of it may be there.
    Failed {
        /// `3 add_orders`
        migration: String,
        /// What is recorded of it, and what to do.
        why: String,
    },
}

impl Drift {
    /// Whether it is also what a migration looks like while its tool runs it.
    pub fn may_pass(&self) -> bool {
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
            Drift::OutOfOrder { migration, file, newest, then: OutOfOrder::Fail } => write!(
                f,
                "migration {migration} is out of order: {newest} is applied already; \
                 give {} a higher number",
                file.display()
            ),
            Drift::OutOfOrder {
                migration,
                newest,
                then: OutOfOrder::Apply | OutOfOrder::ApplySilently,
                ..
            } => write!(
                f,
                "migration {migration} is out of order: {newest} is applied already; \
                 it is applied all the same"
            ),
            Drift::OutOfOrder { migration, newest, then: OutOfOrder::Skip, .. } => write!(
                f,
                "migration {migration} is skipped, as Drizzle skips it: its 'when' is not above {newest}, \
                 which is applied already; to have it applied, raise its 'when' in meta/_journal.json"
            ),
            Drift::Ahead { migrations } => write!(
                f,
                "the database is ahead of this image: migration {} has no file here; \
                 that is what an application rollback looks like",
                migrations.join(", ")
            ),
            Drift::Failed { migration, why } => {
                write!(f, "migration {migration} failed halfway: {why}")
            }
        }
    }
}

/// What to apply, and what to say about the rest.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// Not applied yet, in the order to apply them.
    pub pending: Vec<&'a Migration>,
    /// How many files are applied.
    pub applied: usize,
    /// Every disagreement, also those that stop.
    pub drift: Vec<Drift>,
}

impl Rules {
    /// These rules, but for what the user wants otherwise. Nobody can wish for [`OutOfOrder::Skip`]:
    /// it is Drizzle's default, and applying is what there is to be had instead.
    #[must_use]
    pub fn but(self, wishes: &OnDrift) -> Rules {
        Rules {
            edited: wishes.edited.unwrap_or(self.edited),
            missing: wishes.missing.unwrap_or(self.missing),
            ahead: wishes.ahead.unwrap_or(self.ahead),
            out_of_order: match wishes.out_of_order {
                None => self.out_of_order,
                Some(Policy::Fail) => OutOfOrder::Fail,
                Some(Policy::Warn) => OutOfOrder::Apply,
                Some(Policy::Ignore) => OutOfOrder::ApplySilently,
            },
        }
    }

    /// What this kind of drift is worth.
    pub fn policy(&self, drift: &Drift) -> Policy {
        match drift {
            Drift::Edited { .. } => self.edited,
            Drift::Missing { .. } => self.missing,
            Drift::OutOfOrder { then, .. } => match then {
                OutOfOrder::Fail => Policy::Fail,
                OutOfOrder::Apply | OutOfOrder::Skip => Policy::Warn,
                OutOfOrder::ApplySilently => Policy::Ignore,
            },
            Drift::Ahead { .. } => self.ahead,
            Drift::Failed { .. } => Policy::Fail,
        }
    }
}

impl<'a> Plan<'a> {
    /// What is pending in steps that must be all or nothing: one migration each, as a rule. Where
    /// an older one behind a newer one would be skipped for ever once the newer one is recorded,
    /// they are one step.
    pub fn steps(&self, rules: Rules) -> Vec<&[&'a Migration]> {
        // The oldest that is still to come, from each place on.
        let mut oldest: Vec<&Key> = self.pending.iter().map(|migration| &migration.key).collect();
        for at in (1..oldest.len()).rev() {
            oldest[at - 1] = oldest[at - 1].min(oldest[at]);
        }
        let mut steps = Vec::new();
        let mut begin = 0;
        let mut newest = None;
        for (at, migration) in self.pending.iter().enumerate() {
            newest = newest.max(Some(&migration.key));
            let behind = oldest.get(at + 1).copied();
            let skipped = behind.is_some() && behind <= newest;
            if rules.out_of_order != OutOfOrder::Skip || !skipped {
                steps.push(&self.pending[begin..=at]);
                begin = at + 1;
                newest = None;
            }
        }
        steps
    }
}

/// Compares `on_disk`, in the order of application, with `recorded`, in any; `unchanged` tells
/// whether a file still is what was applied.
pub fn plan<'a>(
    on_disk: &'a [Migration],
    recorded: &[Applied],
    rules: &Rules,
    unchanged: impl Fn(&Migration, &Applied) -> bool,
) -> Plan<'a> {
    // Some tools write two rows of one key: two files of one time, or one that was tried again.
    let mut rows: BTreeMap<&Key, Vec<&Applied>> = BTreeMap::new();
    let mut failed = Vec::new();
    for row in recorded {
        match &row.failure {
            None => rows.entry(&row.key).or_default().push(row),
            Some(why) => {
                failed.push(Drift::Failed { migration: row.to_string(), why: why.clone() });
            }
        }
    }
    // Whatever is behind all versions says nothing of how far those are.
    let newest_row = rows.keys().rfind(|key| !key.is_repeatable()).copied();
    let mut plan = Plan { pending: Vec::new(), applied: 0, drift: failed };
    plan.drift.extend(without_file(on_disk, &rows));

    for migration in on_disk {
        let candidates = rows.get_mut(&migration.key);
        let row = candidates.filter(|rows| !rows.is_empty()).map(|rows| {
            let same = rows.iter().position(|row| unchanged(migration, row));
            (rows.swap_remove(same.unwrap_or(0)), same.is_some())
        });
        match row {
            Some((row, is_same)) => {
                plan.applied += 1;
                if !is_same {
                    plan.drift.push(Drift::Edited {
                        migration: migration.to_string(),
                        file: migration.up.file.clone(),
                        applied_on: row.applied_on.clone(),
                    });
                }
            }
            None => {
                let late = newest_row
                    .filter(|newest| migration.key <= **newest && migration.order == Order::Strict);
                if let Some(newest) = late {
                    plan.drift.push(Drift::OutOfOrder {
                        migration: migration.to_string(),
                        file: migration.up.file.clone(),
                        newest: newest.clone(),
                        then: rules.out_of_order,
                    });
                }
                if late.is_none() || rules.out_of_order != OutOfOrder::Skip {
                    plan.pending.push(migration);
                }
            }
        }
    }
    plan
}

/// The rows that no file belongs to: missing where there is a newer file, else ahead.
fn without_file(on_disk: &[Migration], rows: &BTreeMap<&Key, Vec<&Applied>>) -> Vec<Drift> {
    let files = on_disk.iter().map(|migration| &migration.key);
    let newest_file = files.filter(|key| !key.is_repeatable()).max();
    let on_disk: std::collections::BTreeSet<_> = on_disk.iter().map(|file| &file.key).collect();
    let orphans = rows.iter().filter(|(key, _)| !on_disk.contains(*key));
    let (ahead, missing): (Vec<_>, Vec<_>) =
        orphans.partition(|(key, _)| newest_file.is_none_or(|newest| **key > newest));
    let titles = |orphans: Vec<(&&Key, &Vec<&Applied>)>| -> Vec<String> {
        orphans.into_iter().filter_map(|(_, rows)| rows.first()).map(ToString::to_string).collect()
    };
    let mut drift: Vec<_> =
        titles(missing).into_iter().map(|migration| Drift::Missing { migration }).collect();
    let ahead = titles(ahead);
    if !ahead.is_empty() {
        drift.push(Drift::Ahead { migrations: ahead });
    }
    drift
}

#[cfg(test)]
mod tests;
