//! `--wait-for`, `DB_HOST`, `--db-optional`, and no database at all.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::certificates::{Authority, LOCAL, NOW};
use crate::support::postgres::{PASSWORD, Server};
use crate::support::premain::premain;
use crate::support::{directory, process, program};

/// An HTTP server that answers request `n` with the status `answer(n)`, and counts the requests.
fn serve(answer: fn(usize) -> &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let status = answer(count.fetch_add(1, Ordering::SeqCst));
            let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, served)
}

#[test]
fn all_kinds_of_targets_are_waited_for_concurrently() {
    let mut server = Server::create(&[]);
    let place = directory(&[]);
    let path = |name: &str| place.path().join(name);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_port = tcp.local_addr().unwrap().port();
    drop(tcp);
    let (http, served) = serve(|number| match number {
        0..=2 => "503 Service Unavailable",
        _ => "204 No Content",
    });
    let (redirect, _) = serve(|_| "302 Found");
    let words = [
        format!("tcp://127.0.0.1:{tcp_port}"),
        format!("http://127.0.0.1:{http}/health?token=canary"),
        format!("http://127.0.0.1:{redirect}"),
        format!("unix://{}", path("socket").display()),
        format!("file://{}", path("file").display()),
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", server.port()),
    ];
    let all = words.iter().flat_map(|word| ["--wait-for", word]);
    let mut running = premain(all).words(["echo", "started"]).start();
    for reason in [
        format!("tcp://127.0.0.1:{tcp_port}: connection refused"),
        format!("http://127.0.0.1:{http}/health: it answers with status 503"),
        format!("unix://{}: no such file or directory", path("socket").display()),
        format!("file://{}: no such file or directory", path("file").display()),
        format!("PostgreSQL (--wait-for): 127.0.0.1:{}: connection refused", server.port()),
    ] {
        running.wait_for(&format!("waiting for {reason}"));
    }
    let _tcp = TcpListener::bind(("127.0.0.1", tcp_port)).unwrap();
    let _unix = UnixListener::bind(path("socket")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    server.run();
    let ended = running
        .end()
        .code(0)
        .says("migrations skipped: no database is configured")
        .says_nothing_of("canary")
        .says_nothing_of("(1 attempt)");
    assert_eq!(ended.output, "started\n");
    assert_eq!(served.load(Ordering::SeqCst), 4);
}

#[test]
fn certificates_of_https_targets_are_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("page", "a page", LOCAL, NOW);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fetch = |root: &Authority, timeout| {
        premain(["wait", "--wait-timeout", timeout, "--wait-for"])
            .with(format!("https://localhost:{port}/"))
            .env("SSL_CERT_FILE", root.root())
            .env("SSL_CERT_DIR", "/no/such/directory")
    };
    // A server that closes the connection during the handshake may be starting.
    let starting = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let hangs_up = std::thread::spawn(move || drop(starting.accept()));
    let mut running = fetch(&authority, "60s").start();
    running.wait_for("waiting for https://localhost:");
    hangs_up.join().unwrap();
    let mut server = Command::new(program("openssl", "openssl"))
        .args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")])
        .arg("-cert")
        .arg(authority.path("page.crt"))
        .arg("-key")
        .arg(authority.path("page.key"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let ended = running.end();
    let refused = fetch(&other, "60s").run();
    process::kill_family(&mut server);
    ended.code(0);
    refused.code(78).says("was not issued by a known authority").says("use tcp://");
}

#[test]
fn a_target_that_is_never_ready_is_named_with_status_69() {
    let (http, _) = serve(|_| "404 Not Found");
    let (other, _) = serve(|_| "\x08 nonsense");
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://{}/", mute.local_addr().unwrap());
    let cases = [
        ("tcp://nosuch.invalid:80", "tcp://nosuch.invalid:80 was not ready within"),
        (&format!("http://127.0.0.1:{http}/x"), "it answers with status 404; 2xx or 3xx is needed"),
        (&format!("http://127.0.0.1:{other}/x"), "does not speak HTTP"),
        (&mute, "no answer; is the host right"),
        ("file:///no/such/file", "file:///no/such/file was not ready within"),
    ];
    let running = cases
        .map(|(target, _)| premain(["--wait-timeout", "2s", "--wait-for", target, "true"]).start());
    for (running, (_, text)) in running.into_iter().zip(cases) {
        running.end().code(69).says(text);
    }
}

#[test]
fn db_host_alone_is_waited_for_without_migrations() {
    let mut server = Server::create(&[]);
    server.hba("local all all trust\nhost all all all scram-sha-256\n");
    let port = server.port().to_string();
    let boot =
        || premain(["echo", "started"]).env("DB_HOST", "127.0.0.1").env("DB_PORT", port.as_str());
    let mut running = boot().start();
    running.wait_for(&format!("waiting for PostgreSQL at 127.0.0.1:{port}"));
    server.run();
    let ended = running.end().code(0).says("no database is configured");
    assert_eq!(ended.output, "started\n");
    // Any answer counts as ready, also a rejected login.
    server.hba("local all all trust\nhost all all all reject\n");
    server.reload();
    boot().run().code(0).says("(1 attempt)");
    server.stop();
    boot().env("PREMAIN_WAIT_TIMEOUT", "200ms").run().code(69).says("PostgreSQL at 127.0.0.1:");
    let ended = boot()
        .env("PREMAIN_WAIT_TIMEOUT", "200ms")
        .env("PREMAIN_DB_OPTIONAL", "yes")
        .run()
        .code(0)
        .says("warning: PostgreSQL at 127.0.0.1:");
    assert_eq!(ended.output, "started\n");
}

#[test]
fn db_host_beside_a_url_is_one_more_target() {
    let mut other = Server::create(&[]);
    let database = Server::shared().database();
    let mut running = premain(["--migrations", "none", "echo", "started"])
        .database(database.url())
        .env("DB_HOST", "localhost")
        .env("DB_PORT", other.port().to_string())
        .start();
    running.wait_for(&format!("waiting for PostgreSQL at localhost:{}", other.port()));
    other.run();
    let ended = running.end().code(0);
    assert_eq!(ended.output, "started\n");
    assert!(!ended.log.contains("(1 attempt)"), "{}", ended.log);
}

#[test]
fn an_optional_database_that_is_not_ready_is_a_warning() {
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    let boot = |url: &str, timeout| {
        premain(["--db-optional", "--wait-timeout", timeout, "--migrations"])
            .with(place.path())
            .words(["echo", "started"])
            .database(url)
            .run()
    };
    let ended = boot("postgres://u@127.0.0.1:1/d", "200ms")
        .code(0)
        .says("warning: PostgreSQL (DATABASE_URL) was not ready")
        .says("no migration is applied")
        .says("migrations skipped");
    assert_eq!(ended.output, "started\n");

    let server = Server::shared();
    for (url, code) in [
        (format!("{}?sslmode=require", server.url("postgres")), 78),
        ("postgres://u@h:0/d".to_owned(), 78),
        (server.url("not_there"), 77),
    ] {
        assert_eq!(boot(&url, "2s").code(code).output, "", "the application ran");
    }
    // `wait` and `migrate` have no application to start instead.
    for command in ["wait", "migrate"] {
        premain(["--db-optional", "--wait-timeout", "100ms", command])
            .database("postgres://u@127.0.0.1:1/d")
            .run()
            .code(69);
    }
}

#[test]
fn the_application_starts_without_a_database_and_one_line_says_so() {
    let ended = premain(["echo", "started"]).run().code(0);
    assert_eq!(ended.output, "started\n");
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
    ended.says("migrations skipped: no database is configured, starting echo (pid ");
}

#[test]
fn a_final_error_of_one_target_ends_all_waits() {
    let server = Server::shared();
    premain(["--wait-for", "tcp://127.0.0.1:1", "true"])
        .database(format!("{}?sslmode=require", server.url("postgres")))
        .run()
        .code(78);
}
