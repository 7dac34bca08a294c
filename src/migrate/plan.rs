//! What is pending, and how the folder and the history table disagree: a pure function of both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::ledger::Applied;
use super::source::{Migration, Order};

/// What to do about one kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Stop.
    Fail,
    /// Say so and go on.
    Warn,
}

/// What to do about each kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A file is not what was applied.
    pub edited: Policy,
    /// A recorded migration has no file although newer ones do.
    pub missing: Policy,
    /// A file is older than what is applied, and is not applied.
    pub out_of_order: Policy,
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
        /// When it was applied.
        applied_on: String,
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
        newest: i64,
    },
    /// The database knows migrations newer than every file.
    Ahead {
        /// The ones without a file.
        migrations: Vec<String>,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drift::Edited { migration, file, applied_on } => write!(
                f,
                "migration {migration} was edited after it was applied on {applied_on}; \
                 restore {} as it was, and put the change into a new migration",
                file.display()
            ),
            Drift::Missing { migration } => write!(
                f,
                "migration {migration} is applied but has no file; restore it, or deploy the image that holds it"
            ),
            Drift::OutOfOrder { migration, file, newest } => write!(
                f,
                "migration {migration} is out of order: {newest} is applied already; \
                 give {} a higher number",
                file.display()
            ),
            Drift::Ahead { migrations } => write!(
                f,
                "the database is ahead of this image: migration {} has no file here; \
                 that is what an application rollback looks like",
                migrations.join(", ")
            ),
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
    /// What this kind of drift is worth.
    pub fn policy(&self, drift: &Drift) -> Policy {
        match drift {
            Drift::Edited { .. } => self.edited,
            Drift::Missing { .. } => self.missing,
            Drift::OutOfOrder { .. } => self.out_of_order,
            Drift::Ahead { .. } => self.ahead,
        }
    }
}

/// Compares `on_disk` (oldest first, no version twice) with `recorded`; `unchanged` tells whether a
/// file still is what was applied.
pub fn plan<'a>(
    on_disk: &'a [Migration],
    recorded: &[Applied],
    unchanged: impl Fn(&Migration, &Applied) -> bool,
) -> Plan<'a> {
    let rows: BTreeMap<i64, &Applied> = recorded.iter().map(|row| (row.version, row)).collect();
    let newest_row = rows.keys().next_back().copied();
    let newest_file = on_disk.last().map(|migration| migration.version);
    let mut plan = Plan { pending: Vec::new(), applied: 0, drift: Vec::new() };

    for migration in on_disk {
        match rows.get(&migration.version) {
            Some(row) => {
                plan.applied += 1;
                if !unchanged(migration, row) {
                    plan.drift.push(Drift::Edited {
                        migration: migration.to_string(),
                        file: migration.file.clone(),
                        applied_on: row.applied_on.clone(),
                    });
                }
            }
            None => {
                plan.pending.push(migration);
                if let Some(newest) = newest_row
                    && migration.version < newest
                    && migration.order == Order::Strict
                {
                    plan.drift.push(Drift::OutOfOrder {
                        migration: migration.to_string(),
                        file: migration.file.clone(),
                        newest,
                    });
                }
            }
        }
    }

    let mut ahead = Vec::new();
    for row in rows.values() {
        if on_disk.binary_search_by_key(&row.version, |migration| migration.version).is_err() {
            let migration = format!("{} {}", row.version, row.name);
            if Some(row.version) > newest_file {
                ahead.push(migration);
            } else {
                plan.drift.push(Drift::Missing { migration });
            }
        }
    }
    if !ahead.is_empty() {
        plan.drift.push(Drift::Ahead { migrations: ahead });
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn file(version: i64) -> Migration {
        Migration {
            version,
            name: format!("m{version}"),
            order: Order::Strict,
            file: PathBuf::from(format!("V{version}__m{version}.sql")),
            sql: String::new(),
        }
    }

    fn row(version: i64) -> Applied {
        Applied {
            version,
            name: format!("m{version}"),
            checksum: String::new(),
            applied_on: "2026-01-01".to_owned(),
        }
    }

    fn compare(files: &[i64], rows: &[i64]) -> (Vec<i64>, Vec<String>) {
        let files: Vec<_> = files.iter().copied().map(file).collect();
        let rows: Vec<_> = rows.iter().copied().map(row).collect();
        let plan = plan(&files, &rows, |_, _| true);
        let pending = plan.pending.iter().map(|migration| migration.version).collect();
        let kinds = plan.drift.iter().map(|drift| match drift {
            Drift::Edited { migration, .. } => format!("edited {migration}"),
            Drift::Missing { migration } => format!("missing {migration}"),
            Drift::OutOfOrder { migration, .. } => format!("out of order {migration}"),
            Drift::Ahead { migrations } => format!("ahead {}", migrations.join(", ")),
        });
        (pending, kinds.collect())
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn what_is_not_recorded_is_pending() {
        assert_eq!(compare(&[1, 2, 3], &[]), (vec![1, 2, 3], none()));
        assert_eq!(compare(&[1, 2, 3], &[1]), (vec![2, 3], none()));
        assert_eq!(compare(&[1, 2, 3], &[1, 2, 3]), (vec![], none()));
    }

    #[test]
    fn a_newer_row_is_ahead_and_an_older_one_is_missing() {
        assert_eq!(compare(&[1, 2], &[1, 2, 3, 4]).1, ["ahead 3 m3, 4 m4"]);
        assert_eq!(compare(&[1, 3], &[1, 2, 3]).1, ["missing 2 m2"]);
        assert_eq!(compare(&[], &[1]).1, ["ahead 1 m1"]);
    }

    #[test]
    fn an_older_file_is_out_of_order_unless_it_is_free() {
        assert_eq!(compare(&[1, 2, 3], &[1, 3]), (vec![2], vec!["out of order 2 m2".to_owned()]));
        let mut free = file(2);
        free.order = Order::Free;
        let files = [file(1), free, file(3)];
        let rows = [row(1), row(3)];
        assert_eq!(plan(&files, &rows, |_, _| true).drift, []);
    }

    #[test]
    fn an_edited_file_is_not_pending() {
        let files = [file(1)];
        let plan = plan(&files, &[row(1)], |_, _| false);
        assert!(plan.pending.is_empty());
        assert!(plan.drift[0].to_string().contains("V1__m1.sql"), "{}", plan.drift[0]);
    }

    fn versions() -> impl Strategy<Value = BTreeSet<i64>> {
        prop::collection::btree_set(0..30_i64, 0..20)
    }

    proptest! {
        #[test]
        fn every_file_is_applied_or_pending_and_every_row_is_accounted_for(files in versions(), rows in versions(), seed: usize) {
            let on_disk: Vec<_> = files.iter().copied().map(file).collect();
            let mut recorded: Vec<_> = rows.iter().copied().map(row).collect();
            // The order of rows means nothing.
            let turn = seed % recorded.len().max(1);
            recorded.rotate_left(turn);
            let plan = plan(&on_disk, &recorded, |_, _| true);

            let pending: BTreeSet<_> = plan.pending.iter().map(|migration| migration.version).collect();
            prop_assert_eq!(&pending, &files.difference(&rows).copied().collect());
            prop_assert_eq!(plan.applied, files.intersection(&rows).count());
            prop_assert!(plan.pending.is_sorted_by_key(|migration| migration.version));
            let without_file = plan.drift.iter().map(|drift| match drift {
                Drift::Missing { .. } => 1,
                Drift::Ahead { migrations } => migrations.len(),
                Drift::Edited { .. } | Drift::OutOfOrder { .. } => 0,
            });
            prop_assert_eq!(without_file.sum::<usize>(), rows.difference(&files).count());
        }

        #[test]
        fn applying_the_plan_leaves_nothing_to_do(files in versions(), applied in 0..20_usize) {
            let on_disk: Vec<_> = files.iter().copied().map(file).collect();
            let mut recorded: Vec<_> = files.iter().take(applied).copied().map(row).collect();
            let first = plan(&on_disk, &recorded, |_, _| true);
            prop_assert_eq!(first.drift, vec![]);
            recorded.extend(first.pending.iter().map(|migration| row(migration.version)));
            let second = plan(&on_disk, &recorded, |_, _| true);
            prop_assert!(second.pending.is_empty() && second.drift.is_empty());
        }
    }
}
