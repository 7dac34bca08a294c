//! Planning: which migrations are pending, and where the migrations on disk and the history table differ. A pure function
//! of both.

use std::collections::{BTreeMap, BTreeSet};

use super::drift::{Drift, OutOfOrder, Rules};
use super::history::{Recorded, Stopped};
use super::migration::{Migration, Order};
use super::version::Version;

/// What to apply, and where disk and history table differ.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan<'a> {
    /// The migrations to apply, in this order.
    pub(crate) pending: Vec<&'a Migration>,
    /// How many migrations on disk are already applied.
    pub(crate) applied: usize,
    /// Every difference, also those that the rules ignore.
    pub(crate) drift: Vec<Drift>,
}

impl<'a> Plan<'a> {
    /// The pending migrations in groups that must be applied all or nothing. A group is one migration, except
    /// under [`OutOfOrder::Skip`]: there an older migration after a newer one would be skipped for ever once
    /// the newer one is recorded, so both are one group.
    pub(crate) fn groups(&self, rules: Rules) -> Vec<&[&'a Migration]> {
        // For each index, the oldest version from there on.
        let mut oldest: Vec<&Version> =
            self.pending.iter().map(|migration| &migration.version).collect();
        for at in (1..oldest.len()).rev() {
            oldest[at - 1] = oldest[at - 1].min(oldest[at]);
        }
        let mut groups = Vec::new();
        let mut begin = 0;
        let mut newest = None;
        for (at, migration) in self.pending.iter().enumerate() {
            newest = newest.max(Some(&migration.version));
            let oldest_after = oldest.get(at + 1).copied();
            let would_be_skipped = oldest_after.is_some() && oldest_after <= newest;
            if rules.out_of_order != OutOfOrder::Skip || !would_be_skipped {
                groups.push(&self.pending[begin..=at]);
                begin = at + 1;
                newest = None;
            }
        }
        groups
    }
}

/// Compares `on_disk`, in the order of application, with `recorded`, in any order. `unchanged` returns whether
/// a file is still the one that was applied.
pub(crate) fn plan<'a>(
    on_disk: &'a [Migration],
    recorded: &[Recorded],
    rules: &Rules,
    unchanged: impl Fn(&Migration, &Recorded) -> bool,
) -> Plan<'a> {
    // Some tools write two rows of one version: for two files with the same time, or for a migration that was retried.
    let mut rows: BTreeMap<&Version, Vec<&Recorded>> = BTreeMap::new();
    let mut failed = Vec::new();
    for row in recorded {
        match &row.failure {
            None => rows.entry(&row.version).or_default().push(row),
            Some(Stopped { direction, why, .. }) => failed.push(Drift::Failed {
                migration: row.to_string(),
                direction: *direction,
                why: why.clone(),
            }),
        }
    }
    // A repeatable migration has no place in the order of versions.
    let newest_row = rows
        .iter()
        .rfind(|(version, _)| !version.is_repeatable())
        .and_then(|(version, rows)| Some((*version, rows.first()?.to_string())));
    let mut plan = Plan { pending: Vec::new(), applied: 0, drift: failed };
    plan.drift.extend(without_file(on_disk, &rows));

    for migration in on_disk {
        let candidates = rows.get_mut(&migration.version);
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
                let late = newest_row.as_ref().filter(|(newest, _)| {
                    migration.version <= **newest && migration.order == Order::Strict
                });
                if let Some((_, newest)) = late {
                    plan.drift.push(Drift::OutOfOrder {
                        migration: migration.to_string(),
                        file: migration.up.file.clone(),
                        newest: newest.clone(),
                        rule: rules.out_of_order,
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

/// The rows without a file: missing if a newer file exists, otherwise ahead.
fn without_file(on_disk: &[Migration], rows: &BTreeMap<&Version, Vec<&Recorded>>) -> Vec<Drift> {
    let files = on_disk.iter().map(|migration| &migration.version);
    let newest_file = files.filter(|version| !version.is_repeatable()).max();
    let on_disk: BTreeSet<_> = on_disk.iter().map(|file| &file.version).collect();
    let orphans = rows.iter().filter(|(version, _)| !on_disk.contains(*version));
    let (ahead, missing): (Vec<_>, Vec<_>) =
        orphans.partition(|(version, _)| newest_file.is_none_or(|newest| **version > newest));
    let titles = |orphans: Vec<(&&Version, &Vec<&Recorded>)>| -> Vec<String> {
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
