//! SIGTERM while a hook runs: the hook gets it, ends or is killed, and nothing is left behind.

use std::fs;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::postgres::Server;
use crate::support::premain::premain;
use crate::support::{directory, executables, wait_for};

const FILES: [(&str, &str); 2] =
    [("V1__t.sql", "CREATE TABLE t ()"), ("V2__u.sql", "CREATE TABLE u ()")];

/// A hook that prints a line once it runs, and does not end by itself.
fn stubborn(trap: &str) -> String {
    format!("sh -c 'trap \"{trap}\" TERM; echo there; while true; do sleep 1000 & wait; done'")
}

#[test]
fn a_signal_reaches_the_hook_and_releases_the_lock() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    for option in ["--before-migrate", "--after-migrate"] {
        let hook = stubborn("echo cleaning up; exit 0");
        let mut running = premain(["--migrations"])
            .with(place.path())
            .words([option, &hook, "echo", "started"])
            .database(database.url())
            .start();
        running.wait_for("there");
        running.signal(Signal::SIGTERM);
        let ended = running.end().code(143);
        assert_eq!(ended.output, "");
        ended
            .says("forwarding SIGTERM to ")
            .says("cleaning up\n")
            .says("stopped by SIGTERM while running a hook; the application was not started");
        wait_for("the end of the session", || (database.sessions() == 0).then_some(()));
        assert_eq!(database.has_table("t"), option == "--after-migrate");
    }
}

#[test]
fn a_signal_reaches_the_children_of_a_hook() {
    let container = executables(&[("1.sh", "#!/bin/sh\nsleep 1000\n")]);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut running =
            premain(["--entrypoint-d"]).with(container.path()).words(["echo", "started"]).start();
        running.wait_for("running ");
        running.signal(signal);
        let ended = running.end().code(128 + signal as i32);
        assert_eq!(ended.output, "");
    }
}

#[test]
fn a_hook_that_ignores_the_signal_is_killed() {
    for second in [None, Some(Signal::SIGINT)] {
        let container = executables(&[(
            "1.sh",
            "#!/bin/sh\ntrap 'echo deaf' TERM\necho there\nwhile true; do sleep 1000 & wait; done",
        )]);
        let mut running =
            premain(["--entrypoint-d"]).with(container.path()).words(["echo", "started"]).start();
        running.wait_for("there");
        running.signal(Signal::SIGTERM);
        running.wait_for("deaf");
        if let Some(second) = second {
            running.signal(second);
        }
        let ended = running.end().code(143).says("1.sh did not end in time and is killed");
        assert_eq!(ended.output, "");
    }
}

#[test]
fn a_hook_that_prints_endlessly_can_be_stopped() {
    let container = executables(&[("1.sh", "#!/bin/sh\nexec yes")]);
    let mut running =
        premain(["--entrypoint-d"]).with(container.path()).words(["echo", "started"]).start();
    running.wait_for("1.sh: y");
    running.signal(Signal::SIGTERM);
    let ended = running.end().code(143);
    assert_eq!(ended.output, "");
}

#[test]
fn a_hundred_signals_during_starts_with_hooks_leave_nothing_behind() {
    const ROUNDS: u32 = 100;
    let database = Server::shared().database();
    let mut psql = database.open("SET client_min_messages = error;");
    let container = executables(&[("1.sh", "#!/bin/sh\nexit 0")]);
    let notes = tempfile::tempdir().unwrap();
    let marker = notes.path().join("started");
    let boot = || {
        let place = directory(&FILES);
        let command = premain(["--before-migrate", "true", "--after-migrate", "true"])
            .with("--migrations")
            .with(place.path())
            .with("--entrypoint-d")
            .with(container.path())
            .words(["sh", "-c", &format!("touch {} && exec sleep 1000", marker.display())])
            .database(database.url());
        (place, command)
    };
    let whole = {
        let (_place, command) = boot();
        let began = Instant::now();
        let running = command.start();
        wait_for("the application", || marker.exists().then_some(()));
        running.signal(Signal::SIGTERM);
        running.end().code(143);
        began.elapsed()
    };
    for round in 0..ROUNDS {
        psql.send("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
        let _ = fs::remove_file(&marker);
        let (_place, command) = boot();
        let running = command.start();
        let began = Instant::now();
        while began.elapsed() < whole * (round + 1) / ROUNDS {
            std::hint::spin_loop();
        }
        running.signal(Signal::SIGTERM);
        let ended = running.end().code(143);
        assert!(!(ended.log.contains("stopped by") && marker.exists()), "{}", ended.log);
        wait_for("the end of the session", || {
            let others = "SELECT count(*) FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid();";
            (psql.send(others) == "0").then_some(())
        });
    }
}
