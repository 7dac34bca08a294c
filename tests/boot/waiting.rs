//! Waiting for a database: what is retried, what is final, what is logged meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::postgres::{PASSWORD, Server};
use crate::support::premain::{Premain, Running, premain};
use crate::support::{directory, wait_for};

/// Waits for `url`; the application then prints `started`.
fn boot(url: &str) -> Premain {
    premain(["--migrations", "none", "echo", "started"]).database(url)
}

/// A pg_hba.conf that requires a password for TCP connections.
const SCRAM: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// The URL of a login that `SCRAM` lets in once the role is there.
fn login(server: &Server, user: &str, database: &str) -> String {
    format!("postgres://{user}:{PASSWORD}@127.0.0.1:{}/{database}", server.port())
}

#[test]
fn a_late_server_is_awaited_and_each_reason_is_logged_once() {
    let mut server = Server::create(&[]);
    let mut running = boot(&server.url("postgres")).start();
    running.wait_for("connection refused");
    server.run();
    let ended = running.end().code(0);
    assert_eq!(ended.output, "started\n");
    assert_eq!(ended.lines_with("connection refused"), 1, "{}", ended.log);
    let summary = ended.log.lines().find(|line| line.contains("starting echo")).unwrap();
    let attempts: u32 =
        summary.split_once('(').unwrap().1.split_once(" attempts)").unwrap().0.parse().unwrap();
    assert!(attempts > 1 && summary.starts_with("premain: wait "), "{summary}");
}

#[test]
fn a_refused_connection_ends_with_host_reason_and_remedy() {
    boot("postgres://u@127.0.0.1:1/d")
        .env("PREMAIN_WAIT_TIMEOUT", "300ms")
        .run()
        .code(69)
        .says("error: PostgreSQL (DATABASE_URL) was not ready within ")
        .says("attempts): 127.0.0.1:1: connection refused; is PostgreSQL running there")
        .says_nothing_of("starting echo");
}

#[test]
fn waiting_without_a_limit_logs_summaries() {
    let mut running = boot("postgres://u@127.0.0.1:1/d").env("PREMAIN_WAIT_TIMEOUT", "0").start();
    running.wait_for("still waiting for PostgreSQL (DATABASE_URL) after ");
    running.signal(Signal::SIGINT);
    let ended = running.end().code(130).says("stopped by SIGINT while waiting");
    assert_eq!(ended.output, "");
    // `after 5.0s (93 attempts)`: 20 a second at the most.
    let (seconds, attempts) = ended.log.split_once(" after ").unwrap().1.split_once("s (").unwrap();
    let seconds: f64 = seconds.parse().unwrap();
    let attempts: f64 = attempts.split_once(" attempts").unwrap().0.parse().unwrap();
    assert!(seconds >= 5.0 && attempts <= seconds * 20.0 + 2.0, "{}", ended.log);
}

#[test]
fn a_name_that_does_not_resolve_is_retried() {
    let ended = boot("postgres://u@nosuch.invalid/d")
        .env("PREMAIN_WAIT_TIMEOUT", "2s")
        .run()
        .code(69)
        .says("the name 'nosuch.invalid' does not resolve; is the name spelled right");
    assert_eq!(ended.lines_with("waiting for PostgreSQL"), 1, "{}", ended.log);
    assert!(!ended.log.contains("(1 attempt)"), "{}", ended.log);
}

#[test]
fn a_silent_server_costs_one_attempts_timeout() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap();
    let url = format!("postgres://u@{at}/d");
    let mut running = boot(&format!("{url}?connect_timeout=1")).start();
    mute.set_nonblocking(true).unwrap();
    let connect = || wait_for("an attempt", || mute.accept().ok());
    let connections = [connect(), connect(), connect()];
    running.wait_for(&format!("{at}: it takes connections but did not answer within 1s"));
    running.signal(Signal::SIGTERM);
    running.end().code(143);
    drop(connections);
    // The timeout ends the first attempt, and the message names the server all the same.
    boot(&url)
        .env("PREMAIN_WAIT_TIMEOUT", "200ms")
        .run()
        .code(69)
        .says("(1 attempt)")
        .says(&at.to_string());
}

#[test]
fn a_starting_server_is_asked_less_often() {
    // A standby without hot_standby answers every login with 57P03 until it is promoted.
    let mut server = Server::create(&["hot_standby=off"]);
    server.follow();
    server.launch();
    let mut running = boot(&server.url("postgres")).start();
    running.wait_for("57P03");
    let attempts = || server.log().matches("FATAL:  the database system is").count();
    let (began, before) = (Instant::now(), attempts());
    running.wait_for("still waiting");
    let (after, seconds) = (attempts(), began.elapsed().as_secs_f64());
    // At most 10 a second.
    let limit = seconds * 10.0 + 2.0;
    assert!(((after - before) as f64) < limit, "{before}, {after}, {seconds} s: {}", server.log());
    server.promote();
    running.end().code(0);
}

#[test]
fn a_server_without_free_connections_is_awaited() {
    let server = Server::start(&[
        "max_connections=4",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
        "autovacuum=off",
    ]);
    let taken: Vec<_> = {
        let database = server.database();
        (0..4).map(|_| database.open("SELECT 1;")).collect()
    };
    let mut running = boot(&server.url("postgres")).start();
    running.wait_for("(53300)");
    drop(taken);
    running.end().code(0).says("sorry, too many clients already");
}

#[test]
fn alternating_reasons_are_logged_once_each() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/d?sslmode=disable", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            let message = format!("M{}\0", ["no room", "no slot"][number % 2]);
            let fields = ["SFATAL\0", "C53300\0", message.as_str(), "\0"].concat();
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            let _ = (&client).read(&mut [0; 1000]);
            let _ = (&client).write_all(&[b"E", &length[..], fields.as_bytes()].concat());
        }
    });
    let ended = boot(&url).env("PREMAIN_WAIT_TIMEOUT", "3s").run().code(69);
    for reason in ["no room (53300)", "no slot (53300)"] {
        let told = ended.lines_with(reason) - ended.lines_with(&format!("{reason};"));
        assert_eq!(told, 1, "{}", ended.log);
    }
}

#[test]
fn both_starts_of_the_official_image_are_one_wait() {
    // The image starts the server twice: first on its unix socket only, to create roles and databases.
    let mut server = Server::start(&["listen_addresses=''"]);
    server.hba(SCRAM);
    server.reload();
    let mut running = boot(&login(&server, "app", "app")).start();
    running.wait_for("connection refused");
    let create = format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'");
    server.psql("postgres", &create);
    server.psql("postgres", "CREATE DATABASE app OWNER app");
    server.stop();
    server.set("listen_addresses='127.0.0.1'");
    server.run();
    let ended = running.end().code(0);
    assert_eq!(ended.output, "started\n");
    assert!(ended.lines_with("waiting for PostgreSQL") <= 2, "{}", ended.log);
}

#[test]
fn a_login_created_within_the_grace_period_succeeds() {
    let server = Server::start(&[]);
    server.psql("postgres", &format!("CREATE ROLE banned LOGIN PASSWORD '{PASSWORD}'"));
    let start = |user, database, code: &str| {
        let mut running = boot(&login(&server, user, database)).start();
        running.wait_for(code);
        running
    };
    // On a busy machine creating them takes longer than the grace period, which proves nothing.
    wait_for("a login that is created in time", || {
        server.psql("postgres", "DROP DATABASE IF EXISTS late");
        server.psql("postgres", "DROP ROLE IF EXISTS late");
        server.hba(&format!("host all banned all reject\n{SCRAM}"));
        server.reload();
        let began = Instant::now();
        let all = [
            start("late", "postgres", "(28P01)"),
            start("postgres", "late", "(3D000)"),
            start("banned", "postgres", "(28000)"),
        ];
        server.psql("postgres", &format!("CREATE ROLE late LOGIN PASSWORD '{PASSWORD}'"));
        server.psql("postgres", "CREATE DATABASE late");
        server.hba(SCRAM);
        server.reload();
        let in_time = began.elapsed() < Duration::from_secs(4);
        let ended = all.map(Running::end);
        in_time.then(|| ended.map(|ended| assert_eq!(ended.code(0).output, "started\n")))
    });
}

#[test]
fn a_login_that_stays_rejected_is_final_after_the_grace_period() {
    let server = Server::start(&[]);
    server.hba(&format!("host all banned all reject\n{SCRAM}"));
    server.reload();
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    let cases = [
        ("nobody", "postgres", "(28P01)", "are user and password right"),
        ("postgres", "nothing", "(3D000)", "create the database"),
        ("banned", "postgres", "(28000)", "does pg_hba.conf let this user in"),
    ];
    let running = cases.map(|(user, database, ..)| {
        premain(["--migrations"])
            .with(place.path())
            .words(["echo", "started"])
            .database(login(&server, user, database))
            .start()
    });
    for (running, (_, _, code, remedy)) in running.into_iter().zip(cases) {
        let ended = running.end().code(77).says("cannot be used: 127.0.0.1:").says(remedy);
        assert_eq!(ended.lines_with(code), 2, "once waiting, once in the end: {}", ended.log);
        assert_eq!(ended.output, "");
    }
}

#[test]
fn a_rejected_login_is_77_even_if_the_timeout_is_shorter_than_the_grace_period() {
    let server = Server::shared();
    boot(&server.url("nothing_of_that_name"))
        .env("PREMAIN_WAIT_TIMEOUT", "2s")
        .run()
        .code(77)
        .says("(3D000)");
}

#[test]
fn impossible_configurations_are_final_at_once() {
    let server = Server::shared();
    for (url, text) in [
        (format!("{}?sslmode=require", server.url("postgres")), "the server offers no TLS"),
        ("postgres://u@h:x/d".to_owned(), "DATABASE_URL"),
        ("postgres://u@h/d?sslmode=maybe".to_owned(), "sslmode=maybe"),
        (
            format!("{}?options=-c%20no.such%3D1%20-c%20nonsense%3D1", server.url("postgres")),
            "unrecognized configuration parameter",
        ),
    ] {
        let ended = boot(&url).run().code(78).says(text);
        assert_eq!(ended.lines_with("waiting for"), 0, "{}", ended.log);
    }
}

#[test]
fn premain_wait_only_waits() {
    let mut server = Server::create(&[]);
    let url = server.url("postgres");
    let running = premain(["wait"]).database(&url).start();
    premain(["wait", "--wait-timeout", "100ms"]).database(&url).run().code(69);
    server.run();
    running.end().code(0).says("premain: wait ");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(server.psql("postgres", tables), "0");
    let ended = premain(["wait"]).database(&url).run().code(0).says_nothing_of("waiting");
    assert_eq!(ended.output, "");
}

#[test]
fn a_unix_socket_is_awaited_like_a_port() {
    let mut server = Server::create(&["listen_addresses=''"]);
    let (socket, port) = (server.socket().display().to_string(), server.port());
    let url = |directory: &str| {
        format!("postgres:///postgres?host={directory}&port={port}&user=postgres")
    };
    let mut running = boot(&url(&socket)).start();
    running.wait_for(&format!("{socket}/.s.PGSQL.{port}: no such file or directory"));
    server.run();
    running.end().code(0);
    let deep = format!("{socket}/{}", "deep/".repeat(30));
    boot(&url(&deep)).run().code(78).says("at most 107 bytes");
}
