use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use std::path::PathBuf;

use crate::migrate::drift::Policy;
use crate::migrate::sql::Script;
use crate::migrate::version::{Digits, LocaleName};

const RULES: Rules = Rules {
    edited: Policy::Fail,
    missing: Policy::Fail,
    out_of_order: OutOfOrder::Fail,
    ahead: Policy::Warn,
};

fn file(version: Version) -> Migration {
    Migration {
        name: format!("m{version}"),
        title: format!("{version} m{version}"),
        order: Order::Strict,
        up: Script::whole(PathBuf::from(format!("V{version}__m{version}.sql")), String::new()),
        down: None,
        version,
    }
}

fn row(version: Version) -> Recorded {
    Recorded {
        name: format!("m{version}"),
        title: format!("{version} m{version}"),
        checksum: String::new(),
        applied_on: Some("2026-01-01".to_owned()),
        failure: None,
        version,
    }
}

fn numbers<T>(make: fn(Version) -> T, numbers: &[i64]) -> Vec<T> {
    numbers.iter().map(|number| make(Version::Number(*number))).collect()
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

fn pending(plan: &Plan<'_>) -> Vec<Version> {
    plan.pending.iter().map(|migration| migration.version.clone()).collect()
}

fn compare(files: &[i64], rows: &[i64], rules: &Rules) -> (Vec<i64>, Vec<String>) {
    let (files, rows) = (numbers(file, files), numbers(row, rows));
    let plan = plan(&files, &rows, rules, |_, _| true);
    let pending = pending(&plan).into_iter().map(|key| match key {
        Version::Number(number) | Version::When(number) => number,
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
    rows[1].failure = Some(Stopped::up("for a reason".to_owned()));
    rows[2].failure = Some(Stopped::up("for a reason".to_owned()));
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
fn keys() -> impl Strategy<Value = fn(u8) -> Version> {
    prop::sample::select(vec![
        (|n| Version::Number(n.into())) as fn(u8) -> Version,
        |n| Version::When(n.into()),
        |n| Version::Name(LocaleName(format!("{n:03}_x"))),
        |n| Version::Digits(Digits(format!("{n:03}"))),
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
        let on_disk: Vec<_> = times.iter().map(|when| file(Version::When((*when).into()))).collect();
        let before = before.min(on_disk.len());
        let mut recorded: Vec<_> = on_disk[..before].iter().map(|file| row(file.version.clone())).collect();
        let whole = plan(&on_disk, &recorded, &rules, |_, _| true);
        let steps = whole.groups(rules);
        prop_assert_eq!(steps.concat(), whole.pending.clone());
        let (done, left) = steps.split_at(stop % (steps.len() + 1));
        recorded.extend(done.concat().iter().map(|file| row(file.version.clone())));
        let again = plan(&on_disk, &recorded, &rules, |_, _| true);
        prop_assert_eq!(pending(&again), left.concat().iter().map(|file| file.version.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn applying_the_plan_leaves_nothing_to_do(key in keys(), files in some(), applied in 0..20_usize, rules in rules()) {
        let on_disk: Vec<_> = files.iter().copied().map(key).map(file).collect();
        let mut recorded: Vec<_> = files.iter().take(applied).copied().map(key).map(row).collect();
        let first = plan(&on_disk, &recorded, &rules, |_, _| true);
        prop_assert_eq!(first.drift, vec![]);
        recorded.extend(first.pending.iter().map(|migration| row(migration.version.clone())));
        let second = plan(&on_disk, &recorded, &rules, |_, _| true);
        prop_assert!(second.pending.is_empty() && second.drift.is_empty());
    }
}
