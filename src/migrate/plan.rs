//! What is pending, and how the folder and the history table disagree: a pure function of both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::Key;
use super::ledger::Applied;
use super::source::{Migration, Order};
use crate::config::OnDrift;
pub use crate::config::Policy;

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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::source::Script;
    use crate::migrate::{Digits, Name};

    const RULES: Rules = Rules {
        edited: Policy::Fail,
        missing: Policy::Fail,
        out_of_order: OutOfOrder::Fail,
        ahead: Policy::Warn,
    };

    fn file(key: Key) -> Migration {
        Migration {
            name: format!("m{key}"),
            order: Order::Strict,
            up: Script::whole(PathBuf::from(format!("V{key}__m{key}.sql")), String::new()),
            down: None,
            key,
        }
    }

    fn row(key: Key) -> Applied {
        Applied {
            name: format!("m{key}"),
            checksum: String::new(),
            applied_on: Some("2026-01-01".to_owned()),
            failure: None,
            key,
        }
    }

    fn numbers<T>(make: fn(Key) -> T, numbers: &[i64]) -> Vec<T> {
        numbers.iter().map(|number| make(Key::Number(*number))).collect()
    }

    fn kinds(plan: &Plan<'_>) -> Vec<String> {
        let kinds = plan.drift.iter().map(|drift| match drift {
            Drift::Edited { migration, .. } => format!("edited {migration}"),
            Drift::Missing { migration } => format!("missing {migration}"),
            Drift::OutOfOrder { migration, .. } => format!("out of order {migration}"),
            Drift::Ahead { migrations } => format!("ahead {}", migrations.join(", ")),
            Drift::Failed { migration, .. } => format!("failed {migration}"),
        });
        kinds.collect()
    }

    fn pending(plan: &Plan<'_>) -> Vec<Key> {
        plan.pending.iter().map(|migration| migration.key.clone()).collect()
    }

    fn compare(files: &[i64], rows: &[i64], rules: &Rules) -> (Vec<i64>, Vec<String>) {
        let (files, rows) = (numbers(file, files), numbers(row, rows));
        let plan = plan(&files, &rows, rules, |_, _| true);
        let pending = pending(&plan).into_iter().map(|key| match key {
            Key::Number(number) | Key::When(number) => number,
            key => panic!("{key:?}"),
        });
        (pending.collect(), kinds(&plan))
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn what_is_not_recorded_is_pending() {
        assert_eq!(compare(&[1, 2, 3], &[], &RULES), (vec![1, 2, 3], none()));
        assert_eq!(compare(&[1, 2, 3], &[1], &RULES), (vec![2, 3], none()));
        assert_eq!(compare(&[1, 2, 3], &[1, 2, 3], &RULES), (vec![], none()));
    }

    #[test]
    fn a_newer_row_is_ahead_and_an_older_one_is_missing() {
        assert_eq!(compare(&[1, 2], &[1, 2, 3, 4], &RULES).1, ["ahead 3 m3, 4 m4"]);
        assert_eq!(compare(&[1, 3], &[1, 2, 3], &RULES).1, ["missing 2 m2"]);
        assert_eq!(compare(&[], &[1], &RULES).1, ["ahead 1 m1"]);
    }

    #[test]
    fn an_older_file_is_out_of_order_unless_it_is_free() {
        let late = vec!["out of order 2 m2".to_owned()];
        assert_eq!(compare(&[1, 2, 3], &[1, 3], &RULES), (vec![2], late.clone()));
        let apply = Rules { out_of_order: OutOfOrder::Apply, ..RULES };
        assert_eq!(compare(&[1, 2, 3], &[1, 3], &apply), (vec![2], late.clone()));
        let skip = Rules { out_of_order: OutOfOrder::Skip, ..RULES };
        assert_eq!(compare(&[1, 2, 3], &[1, 3], &skip), (vec![], late));

        let mut files = numbers(file, &[1, 2, 3]);
        files[1].order = Order::Free;
        let rows = numbers(row, &[1, 3]);
        assert_eq!(plan(&files, &rows, &RULES, |_, _| true).drift, []);
    }

    #[test]
    fn the_order_of_application_need_not_be_that_of_the_keys() {
        let files = numbers(file, &[1, 3, 2]);
        assert_eq!(compare(&[1, 3, 2], &[1], &RULES), (vec![3, 2], none()));
        assert_eq!(plan(&files, &numbers(row, &[3, 1, 2]), &RULES, |_, _| true).applied, 3);
    }

    #[test]
    fn one_row_is_one_file_where_two_have_one_key() {
        let skip = Rules { out_of_order: OutOfOrder::Skip, ..RULES };
        assert_eq!(compare(&[1, 1], &[], &skip), (vec![1, 1], none()));
        assert_eq!(compare(&[1, 1], &[1, 1], &skip), (vec![], none()));
        assert_eq!(compare(&[1, 1], &[1], &skip).1, ["out of order 1 m1"]);
        assert_eq!(compare(&[1], &[1, 1], &skip), (vec![], none()));
    }

    #[test]
    fn what_failed_halfway_stops_whether_it_has_a_file_or_not() {
        let mut rows = numbers(row, &[1, 2, 9]);
        rows[1].failure = Some("for a reason".to_owned());
        rows[2].failure = Some("for a reason".to_owned());
        let files = numbers(file, &[1, 2]);
        let plan = plan(&files, &rows, &RULES, |_, _| true);
        assert_eq!(kinds(&plan), ["failed 2 m2", "failed 9 m9"]);
        assert!(plan.drift.iter().all(|drift| RULES.policy(drift) == Policy::Fail));
    }

    #[test]
    fn an_edited_file_is_not_pending() {
        let files = numbers(file, &[1]);
        let plan = plan(&files, &numbers(row, &[1]), &RULES, |_, _| false);
        assert!(plan.pending.is_empty());
        assert!(plan.drift[0].to_string().contains("V1__m1.sql"), "{}", plan.drift[0]);
    }

    /// Keys of one kind, in their order.
    fn keys() -> impl Strategy<Value = fn(u8) -> Key> {
        prop::sample::select(vec![
            (|n| Key::Number(n.into())) as fn(u8) -> Key,
            |n| Key::When(n.into()),
            |n| Key::Name(Name(format!("{n:03}_x"))),
            |n| Key::Digits(Digits(format!("{n:03}"))),
        ])
    }

    fn some() -> impl Strategy<Value = BTreeSet<u8>> {
        prop::collection::btree_set(0..30_u8, 0..20)
    }

    fn in_any_order() -> impl Strategy<Value = Vec<u8>> {
        some().prop_map(Vec::from_iter).prop_shuffle()
    }

    fn rules() -> impl Strategy<Value = Rules> {
        prop::sample::select(vec![OutOfOrder::Fail, OutOfOrder::Apply, OutOfOrder::Skip])
            .prop_map(|out_of_order| Rules { out_of_order, ..RULES })
    }

    proptest! {
        #[test]
        fn every_file_and_every_row_is_accounted_for(key in keys(), on_disk in in_any_order(), recorded in in_any_order(), rules in rules()) {
            // The order of files is that of application, the one of rows means nothing.
            let (files, rows) = (BTreeSet::from_iter(on_disk.clone()), BTreeSet::from_iter(recorded.clone()));
            let order = on_disk;
            let on_disk: Vec<_> = order.iter().copied().map(key).map(file).collect();
            let recorded: Vec<_> = recorded.into_iter().map(key).map(row).collect();
            let plan = plan(&on_disk, &recorded, &rules, |_, _| true);

            let newest = rows.iter().next_back();
            let skipped = |file: &u8| rules.out_of_order == OutOfOrder::Skip && Some(file) < newest;
            let expected: Vec<_> = order
                .into_iter()
                .filter(|file| !rows.contains(file) && !skipped(file))
                .map(key)
                .collect();
            prop_assert_eq!(pending(&plan), expected);
            prop_assert_eq!(plan.applied, files.intersection(&rows).count());
            let without_file = plan.drift.iter().map(|drift| match drift {
                Drift::Missing { .. } => 1,
                Drift::Ahead { migrations } => migrations.len(),
                Drift::Edited { .. } | Drift::OutOfOrder { .. } | Drift::Failed { .. } => 0,
            });
            prop_assert_eq!(without_file.sum::<usize>(), rows.difference(&files).count());
        }

        #[test]
        fn a_run_that_stops_between_two_steps_goes_on_where_it_stopped(times in prop::collection::vec(0..12_u8, 0..12), before in 0..5_usize, stop: usize, rules in rules()) {
            let on_disk: Vec<_> = times.iter().map(|when| file(Key::When((*when).into()))).collect();
            let before = before.min(on_disk.len());
            let mut recorded: Vec<_> = on_disk[..before].iter().map(|file| row(file.key.clone())).collect();
            let whole = plan(&on_disk, &recorded, &rules, |_, _| true);
            let steps = whole.steps(rules);
            prop_assert_eq!(steps.concat(), whole.pending.clone());
            let (done, left) = steps.split_at(stop % (steps.len() + 1));
            recorded.extend(done.concat().iter().map(|file| row(file.key.clone())));
            let again = plan(&on_disk, &recorded, &rules, |_, _| true);
            prop_assert_eq!(pending(&again), left.concat().iter().map(|file| file.key.clone()).collect::<Vec<_>>());
        }

        #[test]
        fn applying_the_plan_leaves_nothing_to_do(key in keys(), files in some(), applied in 0..20_usize, rules in rules()) {
            let on_disk: Vec<_> = files.iter().copied().map(key).map(file).collect();
            let mut recorded: Vec<_> = files.iter().take(applied).copied().map(key).map(row).collect();
            let first = plan(&on_disk, &recorded, &rules, |_, _| true);
            prop_assert_eq!(first.drift, vec![]);
            recorded.extend(first.pending.iter().map(|migration| row(migration.key.clone())));
            let second = plan(&on_disk, &recorded, &rules, |_, _| true);
            prop_assert!(second.pending.is_empty() && second.drift.is_empty());
        }
    }
}
