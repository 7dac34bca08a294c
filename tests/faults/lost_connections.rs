//! The connection is lost, at every message of both sides: every migration is still applied exactly
//! once, and a rerun always succeeds.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::layout::{FORMATS, migrations, recorded};
use crate::support::postgres::{Database, Open, Server};
use crate::support::premain::{Ended, Premain, migrate};
use crate::support::proxy::{Fault, Kind, Proxy, Speaker};
use crate::support::{directory, gate, wait_for};

/// A database behind a proxy, and five migrations for it that leave a row each time they run.
struct Place<'a> {
    format: &'static str,
    directory: TempDir,
    database: Database<'a>,
    session: Open,
    proxy: Proxy,
}

impl Place<'_> {
    fn new(format: &'static str) -> Place<'static> {
        let directory = migrations(format, 5, |n| match n {
            1 => "CREATE TABLE log (id serial, n int); INSERT INTO log (n) VALUES (1)".to_owned(),
            _ => format!("INSERT INTO log (n) VALUES ({n}); SELECT * FROM log"),
        });
        let database = Server::shared().database();
        let session = database.open("SET client_min_messages = warning;");
        Place { format, directory, session, proxy: Proxy::to(Server::shared()), database }
    }

    fn premain(&self, wait_timeout: &str) -> Premain {
        let url = self.proxy.url(&self.database.name);
        let words = ["--format", self.format, "--wait-timeout", wait_timeout];
        migrate(self.directory.path()).words(words).database(url)
    }

    /// How many messages each side sends in a run without faults.
    fn messages(&mut self) -> [usize; 2] {
        self.proxy.take_messages();
        self.premain("10s").run().code(0);
        let messages = self.proxy.take_messages();
        self.check("nothing went wrong");
        messages
    }

    /// A rerun applies what is missing, whatever happened before; then the database is emptied.
    fn check(&mut self, what: &str) {
        self.proxy.heal();
        let url = self.database.url();
        let words = ["--format", self.format];
        let ended = migrate(self.directory.path()).words(words).database(url).run();
        assert_eq!(ended.code, 0, "{what}, and a rerun: {}", ended.log);
        let mut ask = |sql: &str| self.session.send(&format!("{sql};")).replace('\n', " ");
        assert_eq!(ask("SELECT n FROM log ORDER BY id"), "1 2 3 4 5", "{what}: what ran");
        assert_eq!(ask(recorded(self.format)), "1 2 3 4 5", "{what}: what is recorded");
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                     (SELECT oid FROM pg_database WHERE datname = current_database())";
        wait_for("no lock is left", || (ask(locks) == "0").then_some(()));
        ask(
            "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS drizzle CASCADE; CREATE SCHEMA public",
        );
    }
}

/// Runs `test` for every message of both sides, in several threads, each with a `Place` of its own.
fn sweep(format: &'static str, every: usize, test: impl Fn(&mut Place<'_>, Speaker, usize) + Sync) {
    const THREADS: usize = 4;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut place = Place::new(format);
                let [client, server] = place.messages();
                loop {
                    let number = next.fetch_add(every, Ordering::SeqCst);
                    match number {
                        n if n < client => test(&mut place, Speaker::Client, n),
                        n if n < client + server => test(&mut place, Speaker::Server, n - client),
                        _ => return,
                    }
                }
            });
        }
    });
}

/// One fault; premain finds out by itself whether the migration was committed.
fn goes_on(place: &mut Place<'_>, speaker: Speaker, message: usize, kind: Kind) -> Ended {
    let fault = Fault { speaker, message, kind, stays_away: false };
    place.proxy.set(fault);
    let ended = place.premain("10s").run();
    assert_eq!(ended.code, 0, "{} {fault:?}: {}", place.format, ended.log);
    let told = |text| ended.log.contains(text);
    if told("was interrupted") {
        assert!(told("in the history table: it was"), "{fault:?}: {}", ended.log);
    }
    place.check(&format!("{} {fault:?}", place.format));
    ended
}

#[test]
fn a_connection_broken_at_any_message_is_recovered_from() {
    let (committed, rolled_back) = (AtomicUsize::new(0), AtomicUsize::new(0));
    sweep("sql", 1, |place, speaker, message| {
        for kind in [Kind::Close, Kind::Reset, Kind::Truncate] {
            let ended = goes_on(place, speaker, message, kind);
            let count = |text| ended.lines_with(text);
            committed
                .fetch_add(count("is in the history table: it was committed"), Ordering::SeqCst);
            rolled_back.fetch_add(count("it was rolled back"), Ordering::SeqCst);
        }
    });
    assert!(committed.into_inner() > 5 && rolled_back.into_inner() > 5, "both were seen");
}

#[test]
fn a_broken_connection_is_recovered_from_in_every_format() {
    for format in FORMATS {
        sweep(format, 5, |place, speaker, message| {
            goes_on(place, speaker, message, Kind::Close);
        });
    }
}

#[test]
fn a_rerun_succeeds_after_the_server_stayed_away() {
    sweep("refinery", 1, |place, speaker, message| {
        let fault = Fault { speaker, message, kind: Kind::Close, stays_away: true };
        place.proxy.set(fault);
        let ended = place.premain("100ms").run();
        let (early, late) = (ended.code == 69, ended.code == 75);
        assert!(ended.code == 0 || early || late, "{fault:?}: {}", ended.log);
        assert!(!late || ended.log.contains("which is safe"), "{fault:?}: {}", ended.log);
        place.check(&format!("{fault:?}"));
    });
}

#[test]
fn a_silent_connection_ends_with_a_timeout_or_a_signal() {
    sweep("refinery", 7, |place, speaker, message| {
        let fault = Fault { speaker, message, kind: Kind::Stall, stays_away: true };
        place.proxy.set(fault);
        // premain's own statements have a timeout; migrations have none.
        let premain = place.premain("300ms").words(["--lock-timeout", "300ms"]);
        let mut running = premain.start();
        let silent = wait_for("it ends, or a migration hears nothing", || {
            let log = running.log();
            let migrating =
                log.contains("of 5 pending") && !log.contains("migration V5__t5 applied");
            let silent = migrating && !place.proxy.is_armed();
            (silent || running.has_ended()).then_some(silent)
        });
        if silent {
            running.signal(Signal::SIGTERM);
        }
        let ended = running.end();
        assert!([0, 69, 75, 143].contains(&ended.code), "{fault:?}: {} {}", ended.code, ended.log);
        assert_eq!(ended.code == 143, silent, "{fault:?}: {}", ended.log);
        place.check(&format!("{fault:?}"));
    });
}

#[test]
fn a_migration_that_outlives_its_connection_is_awaited() {
    let database = Server::shared().database();
    let proxy = Proxy::to(Server::shared());
    // As on a server that cannot notice that its client is gone.
    let slow = "SET client_connection_check_interval = 0; CREATE TABLE slow (); \
                DO $$ BEGIN RAISE NOTICE 'halfway'; END $$";
    let slow = format!("{slow}; {}", gate::PASS);
    let place = directory(&[("1_slow.sql", &slow), ("2_next.sql", "CREATE TABLE next ()")]);
    let gate = gate::close(&database);
    let mut running = migrate(place.path()).database(proxy.url(&database.name)).start();
    running.wait_for("halfway");
    proxy.cut();
    running.wait_for("waiting for the migration lock, held by pid");
    drop(gate);
    running
        .end()
        .code(0)
        .says("migration 1_slow was interrupted, the connection was lost (the server closed it)")
        .says("migration 1_slow is in the history table: it was committed")
        .says("migration 2_next applied")
        .says("migrations 2 applied");
    assert!(database.has_table("slow") && database.has_table("next"));
}

#[test]
fn three_lost_connections_without_progress_end_with_75() {
    let database = Server::shared().database();
    let place = directory(&[
        ("1_good.sql", "CREATE TABLE good ()"),
        ("2_suicide.sql", "CREATE TABLE half (); SELECT pg_terminate_backend(pg_backend_pid())"),
    ]);
    let ended = migrate(place.path()).database(database.url()).run().code(75);
    assert_eq!(ended.lines_with("connecting again, to look what became of it"), 2, "{}", ended.log);
    assert_eq!(ended.lines_with("migration 2_suicide is not in the history table"), 2);
    ended.says("terminating connection due to administrator command");
    assert!(database.has_table("good") && !database.has_table("half"));
}

#[test]
fn a_partly_committed_migration_is_not_retried() {
    let database = Server::shared().database();
    let place = directory(&[(
        "1_torn.sql",
        "CREATE TABLE torn (); COMMIT; SELECT pg_terminate_backend(pg_backend_pid())",
    )]);
    let ended = migrate(place.path()).database(database.url()).run().code(65);
    assert_eq!(ended.lines_with("connecting again"), 1, "{}", ended.log);
    ended.says("migration 1_torn failed halfway").says("may have been kept");
    assert!(database.has_table("torn"));
}
