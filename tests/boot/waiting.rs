//! Waiting for a database: what is retried, what is final, what is logged meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::support::certificates::{Authority, LOCAL, NOW};
use crate::support::postgres::{PASSWORD, Server};
use crate::support::premain::{Premain, Running, premain};
use crate::support::{directory, output, program, wait_for};

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

/// Stands before a server: until it lets clients through, each gets what `refuse` sends.
struct Gate {
    port: u16,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn before(server: &Server, refuse: fn(&mut TcpStream)) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicBool::new(false));
        let (is_open, upstream) = (Arc::clone(&open), server.port());
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                if !is_open.load(Ordering::SeqCst) {
                    refuse(&mut client);
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
                for (mut from, mut to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        Gate { port, open }
    }
}

/// Reads one message, and answers it.
fn answer(client: &mut TcpStream, bytes: &[u8]) {
    let _ = client.read(&mut [0; 1000]);
    let _ = client.write_all(bytes);
}

/// The error of a server or proxy with this SQLSTATE.
fn error<const CODE: u32>(client: &mut TcpStream) {
    let fields = format!("SFATAL\0C{CODE:05}\0Mnot now\0\0").replace("C00000", "CXX000");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    answer(client, &[b"E", &length[..], fields.as_bytes()].concat());
}

#[test]
fn what_a_server_or_proxy_that_is_not_there_yet_answers_is_retried() {
    fn alert(client: &mut TcpStream) {
        answer(client, b"S");
        answer(client, b"\x15\x03\x03\0\x02\x02\x50");
    }
    fn text(client: &mut TcpStream) {
        answer(client, b"Ecould not fork new process for connection: no memory\n\0");
    }
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let mut server = Server::create(&["ssl=on"]);
    server.certificate(&authority, "server");
    server.run();
    let cases: [(fn(&mut TcpStream), _, _, _); 9] = [
        (error::<58000>, "disable", "not now (58000)", 78),
        (error::<0>, "disable", "not now (XX000)", 78),
        (error::<55000>, "disable", "not now (55000)", 78),
        (error::<57014>, "disable", "not now (57014)", 78),
        (error::<42501>, "disable", "not now (42501)", 77),
        (error::<53300>, "disable", "not now (53300)", 69),
        (alert, "require", "alert: InternalError", 78),
        (text, "disable", "the server says: could not fork new process", 69),
        (text, "require", "the server could not start a process", 69),
    ];
    let gates = cases.map(|(refuse, ..)| Gate::before(&server, refuse));
    let start = |index: usize, timeout| {
        let (Gate { port, .. }, (_, mode, ..)) = (&gates[index], cases[index]);
        boot(&format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode={mode}"))
            .env("PREMAIN_WAIT_TIMEOUT", timeout)
            .start()
    };
    let refused: Vec<_> = (0..cases.len()).map(|index| start(index, "2s")).collect();
    for (running, (_, _, said, code)) in refused.into_iter().zip(cases) {
        running.end().code(code).says(said);
    }
    for (index, (_, _, said, _)) in cases.iter().enumerate() {
        let mut running = start(index, "60s");
        running.wait_for(said);
        gates[index].open.store(true, Ordering::SeqCst);
        running.end().code(0);
    }
}

/// Swallows every packet for this port, as a firewall does: nobody takes the connections that fill
/// its queue.
fn black_hole(address: &str, port: u16) -> impl Drop {
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let mut queue = Vec::new();
    while let Ok(client) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(client);
    }
    struct Open(Socket, Vec<TcpStream>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.1.clear();
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
    Open(listener, queue)
}

#[test]
fn an_address_that_swallows_packets_leaves_time_for_the_next() {
    let server = Server::start(&["listen_addresses='127.0.0.2'"]);
    server.hba("local all all trust\nhost all all all trust\n");
    server.reload();
    let port = server.port();
    let _hole = black_hole("127.0.0.1", port);
    let files = directory(&[("hosts", "127.0.0.1 two.addresses\n127.0.0.2 two.addresses\n")]);
    let start = |words: &[&str]| {
        let mut command = Command::new(program("unshare", "util-linux"));
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]).arg(files.path().join("hosts"));
        command.arg(env!("CARGO_BIN_EXE_premain"));
        Premain::of(command).words(["wait", "--wait-timeout", "3s"]).words(words)
    };
    let database = |host: &str| start(&[]).database(format!("postgres://postgres@{host}/postgres"));
    for premain in [
        database(&format!("two.addresses:{port}")),
        database(&format!("127.0.0.1:{port},127.0.0.2:{port}")),
        start(&["--wait-for", &format!("tcp://two.addresses:{port}")]),
    ] {
        premain.run().code(0).says("(1 attempt)");
    }
    // A page: what answers does not speak HTTP, but it answers.
    start(&["--wait-for", &format!("http://two.addresses:{port}/")])
        .run()
        .code(69)
        .says("does not speak HTTP");
}

#[test]
fn a_lookup_without_a_thread_is_retried() {
    const NOBODY: u32 = 54_321;
    let server = Server::start(&[]);
    server.hba("local all all trust\nhost all all all trust\n");
    server.reload();
    let url = format!("postgres://postgres@localhost:{}/postgres", server.port());
    let start = |timeout| {
        let mut command = Command::new(program("prlimit", "util-linux"));
        command.args(["--nproc=1:1000", env!("CARGO_BIN_EXE_premain")]);
        let premain =
            Premain::of(command).run_by(NOBODY).words(["wait", "--wait-timeout", timeout]);
        premain.database(&url).start()
    };
    start("500ms").end().code(69).says("cannot look up the name 'localhost'");
    let mut running = start("60s");
    running.wait_for("cannot look up the name 'localhost'");
    let mut raise = Command::new(program("prlimit", "util-linux"));
    // The limit of its own process a user may raise; root cannot do it in every container.
    raise.uid(NOBODY).gid(NOBODY).args(["--nproc=1000", "--pid", &running.pid().to_string()]);
    let raised = output(&mut raise);
    assert!(raised.status.success(), "{raised:?}");
    running.end().code(0);
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
