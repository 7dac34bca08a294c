//! Standbys, primaries and several hosts: which server is used.

use crate::support::postgres::Server;
use crate::support::premain::{Premain, premain};
use crate::support::{directory, wait_for};

/// A standby without a primary: it accepts logins, and no writes until it is promoted.
fn standby() -> Server {
    let mut server = Server::create(&[]);
    server.follow();
    server.run();
    server
}

fn migrate(place: &tempfile::TempDir, url: &str) -> Premain {
    premain(["--migrations"]).with(place.path()).words(["echo", "started"]).database(url)
}

/// `postgres://postgres@127.0.0.1:1,127.0.0.1:2/postgres`
fn either(servers: [&Server; 2], parameters: &str) -> String {
    let hosts = servers.map(|server| format!("127.0.0.1:{}", server.port()));
    format!("postgres://postgres@{}/postgres?{parameters}", hosts.join(","))
}

#[test]
fn pending_migrations_wait_until_a_standby_is_promoted() {
    let server = standby();
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    let mut running = migrate(&place, &server.url("postgres")).start();
    running.wait_for("1 migration pending, and the server takes no writes");
    running.wait_for("it is a standby, and migrations need the primary");
    server.promote();
    let ended = running.end().code(0).says("migration V1__t applied");
    assert_eq!(ended.output, "started\n");
    // The summary includes the wait for the primary.
    ended.says("starting echo").says_nothing_of("(1 attempt)");
}

#[test]
fn a_standby_is_enough_with_nothing_pending() {
    let mut server = Server::start(&[]);
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    migrate(&place, &server.url("postgres")).run().code(0).says("migrations 1 applied");
    server.stop();
    server.follow();
    server.run();
    let ended = migrate(&place, &server.url("postgres")).run().code(0).says("none pending");
    assert_eq!(ended.output, "started\n");

    let more = directory(&[("V1__t.sql", "CREATE TABLE t ()"), ("V2__u.sql", "CREATE TABLE u ()")]);
    let boot = || migrate(&more, &server.url("postgres")).env("PREMAIN_WAIT_TIMEOUT", "2s");
    boot().run().code(69).says("connect to the right server, or wait until this one is promoted");
    let ended = boot().env("PREMAIN_DB_OPTIONAL", "1").run().code(0).says("warning");
    assert_eq!(ended.output, "started\n");
    let wait = premain(["wait"]).database(server.url("postgres"));
    wait.run().code(0);
}

#[test]
fn the_writable_one_of_several_hosts_is_migrated() {
    let (standby, primary) = (standby(), Server::start(&[]));
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    migrate(&place, &either([&standby, &primary], ""))
        .run()
        .code(0)
        .says("migration V1__t applied");
    assert_eq!(primary.psql("postgres", "SELECT count(*) FROM t"), "0");
}

#[test]
fn a_failover_is_followed_to_the_new_primary() {
    let mut primary = Server::start(&[]);
    let replica = primary.replica();
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    migrate(&place, &either([&replica, &primary], "")).run().code(0).says("1 applied");
    let there = "SELECT count(*) FROM refinery_schema_history";
    wait_for("the replica has it too", || {
        replica.try_psql("postgres", there).is_ok_and(|rows| rows == "1").then_some(())
    });
    // With nothing pending a standby is enough; pending migrations need the promoted server.
    primary.crash();
    migrate(&place, &either([&primary, &replica], "")).run().code(0).says("none pending");
    let more = directory(&[("V1__t.sql", "CREATE TABLE t ()"), ("V2__u.sql", "CREATE TABLE u ()")]);
    let mut running = migrate(&more, &either([&primary, &replica], "")).start();
    running.wait_for("connection refused, 127.0.0.1:");
    replica.promote();
    running.end().code(0).says("migration V2__u applied");
    assert_eq!(replica.psql("postgres", there), "2");
}

#[test]
fn a_failover_during_a_migration_is_followed_to_the_new_primary() {
    for crash in [true, false] {
        let mut primary = Server::start(&[]);
        let mut replica = primary.replica();
        let slow_on_the_primary = format!(
            "INSERT INTO t VALUES (2); SELECT pg_sleep(1000) WHERE current_setting('port') = '{}'",
            primary.port()
        );
        let place = directory(&[
            ("V1__t.sql", "CREATE TABLE t (a int)"),
            ("V2__kept.sql", "INSERT INTO t VALUES (1)"),
            ("V3__slow.sql", &slow_on_the_primary),
        ]);
        let url = either([&primary, &replica], "target_session_attrs=read-write");
        let running = migrate(&place, &url).start();
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        wait_for("the slow statement runs", || {
            (primary.psql("postgres", sleeps) == "1").then_some(())
        });
        wait_for("the replica has what was committed", || {
            replica
                .try_psql("postgres", "SELECT count(*) FROM t")
                .is_ok_and(|rows| rows == "1")
                .then_some(())
        });
        match crash {
            true => primary.crash(),
            false => primary.stop(),
        }
        replica.promote();
        let ended = running
            .end()
            .code(0)
            .says("migration V3__slow was interrupted, the connection was lost")
            .says("migration V3__slow is not in the history table: it was rolled back")
            .says("migration V3__slow applied")
            .says("migrations 3 applied");
        assert_eq!(ended.output, "started\n");
        assert_eq!(replica.psql("postgres", "SELECT count(*), sum(a) FROM t"), "2|3");
        let recorded = "SELECT count(*), count(DISTINCT version) FROM refinery_schema_history";
        assert_eq!(replica.psql("postgres", recorded), "3|3");
        replica.stop();
    }
}

#[test]
fn target_session_attrs_chooses_the_server() {
    let (standby, primary) = (standby(), Server::start(&[]));
    for attrs in ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] {
        let url = either([&standby, &primary], &format!("target_session_attrs={attrs}"));
        premain(["wait"]).database(url).run().code(0).says("(1 attempt)");
    }
    let alone = |server: &Server, attrs: &str, code: i32| {
        let url = format!("{}?target_session_attrs={attrs}", server.url("postgres"));
        let timeout = if code == 0 { "60s" } else { "1s" };
        premain(["wait", "--wait-timeout", timeout]).database(url).run().code(code)
    };
    for (attrs, by_standby, by_primary) in [
        ("any", 0, 0),
        ("read-write", 69, 0),
        ("read-only", 0, 69),
        ("primary", 69, 0),
        ("standby", 0, 69),
        ("prefer-standby", 0, 0),
    ] {
        alone(&standby, attrs, by_standby);
        alone(&primary, attrs, by_primary);
    }
    alone(&standby, "primary", 69).says("it is a standby (target_session_attrs=primary)");

    primary.psql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    primary.reload();
    alone(&primary, "read-only", 0);
    alone(&primary, "primary", 0);
    alone(&primary, "read-write", 69).says("it takes no writes");
}

#[test]
fn an_unreachable_host_does_not_hide_a_reachable_one_nor_the_reverse() {
    let (mut down, up) = (Server::create(&[]), Server::start(&[]));
    for servers in [[&down, &up], [&up, &down]] {
        premain(["wait"])
            .database(either(servers, ""))
            .run()
            .code(0)
            .says("(1 attempt)")
            .says_nothing_of("waiting for");
    }
    // The one that is up can never do; the one that is down may, once it is there.
    for order in [true, false] {
        let servers = if order { [&down, &up] } else { [&up, &down] };
        let missing = either(servers, "").replace("/postgres?", "/only_here?");
        let mut running = premain(["wait"]).database(missing).start();
        running.wait_for("(3D000)");
        running.wait_for("connection refused");
        down.run();
        down.psql("postgres", "CREATE DATABASE only_here");
        running.end().code(0);
        down.psql("postgres", "DROP DATABASE only_here");
        down.stop();
    }
}
