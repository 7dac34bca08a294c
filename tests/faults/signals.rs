//! SIGTERM in every phase of the boot: premain ends at once with 143, and leaves nothing behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::postgres::{Database, Open, Server};
use crate::support::premain::{Premain, premain};
use crate::support::{directory, wait_for};

/// An application that creates this file, and runs until it gets a signal.
fn application(place: &tempfile::TempDir) -> [String; 3] {
    let marker = place.path().join("started");
    ["sh".into(), "-c".into(), format!("touch {} && exec sleep 1000", marker.display())]
}

fn boot(place: &tempfile::TempDir, url: &str) -> Premain {
    premain(["--migrations"]).with(place.path()).words(application(place)).database(url)
}

fn started(place: &tempfile::TempDir) -> bool {
    place.path().join("started").exists()
}

fn no_session_is_left(database: &Database<'_>) {
    wait_for("the server ended premain's session", || (database.sessions() == 0).then_some(()));
}

#[test]
fn a_signal_ends_the_wait_for_the_database() {
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    let mut running = boot(&place, "postgres://x@127.0.0.1:1/x").start();
    running.wait_for("waiting for PostgreSQL");
    running.signal(Signal::SIGTERM);
    running.end().code(143).says("stopped by SIGTERM while waiting");
    assert!(!started(&place));
}

#[test]
fn a_signal_ends_the_wait_for_the_lock() {
    let database = Server::shared().database();
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    let holder = database.open("SELECT pg_advisory_lock(31650977343957358);");
    let mut running = boot(&place, &database.url()).start();
    running.wait_for("waiting for the migration lock");
    running.signal(Signal::SIGTERM);
    running.end().code(143);
    drop(holder);
    no_session_is_left(&database);
    assert!(!started(&place) && !database.has_table("t"));
}

#[test]
fn a_signal_rolls_back_the_running_migration() {
    let database = Server::shared().database();
    let place = directory(&[
        ("V1__kept.sql", "CREATE TABLE kept ()"),
        ("V2__slow.sql", "CREATE TABLE half (); SELECT pg_sleep(1000);"),
    ]);
    let running = boot(&place, &database.url()).start();
    wait_for("the slow statement runs", || {
        let active = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        (database.psql(active) == "1").then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.end().code(143).says("stopped by SIGTERM while migrating");
    no_session_is_left(&database);
    assert!(!started(&place) && database.has_table("kept") && !database.has_table("half"));
    assert_eq!(database.psql("SELECT version FROM refinery_schema_history"), "1");
}

#[test]
fn a_second_signal_ends_premain_at_once() {
    let server = Server::start(&[]);
    let place = directory(&[("V1__slow.sql", "SELECT pg_sleep(1000)")]);
    let mut running = {
        let database = server.database();
        let running = boot(&place, &database.url()).start();
        wait_for("the slow statement runs", || {
            (database.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                == "1")
                .then_some(())
        });
        running
    };
    // The server does not answer any more, so that premain waits for the rollback.
    server.freeze();
    running.signal(Signal::SIGTERM);
    running.wait_for("waiting for its rollback");
    running.signal(Signal::SIGINT);
    let ended = running.end();
    server.thaw();
    // If both are pending, the kernel delivers the lower number first.
    assert!([130, 143].contains(&ended.code), "{}", ended.log);
}

#[test]
fn three_hundred_signals_at_random_moments_leave_nothing_behind() {
    const ROUNDS: usize = 300;
    let server = Server::shared();
    // The duration of a whole boot on this machine: the random moments cover all of it.
    let whole = {
        let (database, place) = (server.database(), migrations());
        let began = Instant::now();
        premain(["--migrations"])
            .with(place.path())
            .words(["true"])
            .database(database.url())
            .run()
            .code(0);
        began.elapsed()
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let database = server.database();
                let mut psql = database.open("SET client_min_messages = error;");
                while next.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                    term_at(&database, &mut psql, whole * 3 / 2 * rand(1000) / 1000);
                }
            });
        }
    });
}

fn migrations() -> tempfile::TempDir {
    directory(&[
        ("V1__t.sql", "CREATE TABLE t (a int)"),
        ("V2__rows.sql", "INSERT INTO t SELECT generate_series(1, 100)"),
        ("V3__u.sql", "CREATE TABLE u (a int)"),
    ])
}

/// One boot on a fresh schema, one TERM after `moment`: whatever it hit, the status is 143, the
/// application ran or it did not, and each migration is there with its record or not at all.
fn term_at(database: &Database<'_>, psql: &mut Open, moment: Duration) {
    psql.send("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
    let place = migrations();
    let running = boot(&place, &database.url()).start();
    let began = Instant::now();
    while began.elapsed() < moment {
        std::hint::spin_loop();
    }
    running.signal(Signal::SIGTERM);
    let ended = running.end().code(143);
    assert!(!(ended.log.contains("stopped by") && started(&place)), "{}", ended.log);
    wait_for("the server ended premain's session", || {
        let others = "SELECT count(*) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid();";
        (psql.send(others) == "0").then_some(())
    });
    let mut count = |table: &str| match psql
        .send(&format!("SELECT to_regclass('{table}') IS NOT NULL;"))
        .as_str()
    {
        "t" => Some(psql.send(&format!("SELECT count(*) FROM {table};")).parse::<u32>().unwrap()),
        _ => None,
    };
    let found = (count("t"), count("u"));
    let expected = match count("refinery_schema_history") {
        None | Some(0) => (None, None),
        Some(1) => (Some(0), None),
        Some(2) => (Some(100), None),
        Some(_) => (Some(100), Some(0)),
    };
    assert_eq!(found, expected, "{}", ended.log);
}

/// A pseudo-random number below `limit`.
fn rand(limit: u32) -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    u32::try_from(RandomState::new().hash_one(0) % u64::from(limit)).unwrap()
}
