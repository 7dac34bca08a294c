//! TLS: every `sslmode` against every kind of server and certificate.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::certificates::{Authority, LOCAL, LONG_AGO, NOT_YET, NOW};
use crate::support::postgres::{PASSWORD, Server};
use crate::support::premain::{Ended, Premain, migrate, premain};
use crate::support::{directory, wait_for};

/// A server with TLS that presents this certificate of the authority.
fn encrypted(authority: &Authority, name: &str) -> Server {
    let mut server = Server::create(&["ssl=on"]);
    server.certificate(authority, name);
    server.run();
    server
}

/// Waits, and logs everything.
fn wait(server: &Server, host: &str, parameters: &str) -> Premain {
    let port = server.port();
    premain(["wait", "--log", "trace"])
        .database(format!("postgres://postgres:{PASSWORD}@{host}:{port}/postgres?{parameters}"))
}

/// `sslmode` with and without the authority's certificate in `sslrootcert`, and the exit status.
fn check(server: &Server, root: &Path, expected: &[(&str, i32)]) {
    for (parameters, code) in expected {
        let parameters = parameters.replace("ROOT", &format!("sslrootcert={}", root.display()));
        let ended = wait(server, "localhost", &parameters).run();
        assert_eq!(ended.code, *code, "{parameters}: {}", ended.log);
    }
}

/// The end of a login that stays rejected, without the whole grace period.
fn refused(premain: Premain) -> Ended {
    premain.env("PREMAIN_WAIT_TIMEOUT", "2s").run().code(77)
}

/// The log of a wait that ends with an invalid certificate in this `sslmode`.
fn complaint(server: &Server, root: &Path, mode: &str) -> String {
    let parameters = format!("sslmode={mode}&sslrootcert={}", root.display());
    let ended = wait(server, "localhost", &parameters).run().code(78);
    assert_eq!(ended.lines_with("waiting for"), 0, "final at once: {}", ended.log);
    ended.log
}

#[test]
fn a_valid_certificate_satisfies_every_sslmode() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    check(
        &server,
        &authority.root(),
        &[
            ("", 0),
            ("sslmode=disable", 0),
            ("sslmode=allow", 0),
            ("sslmode=prefer", 0),
            ("sslmode=require", 0),
            ("sslmode=require&ROOT", 0),
            ("sslmode=verify-ca&ROOT", 0),
            ("sslmode=verify-full&ROOT", 0),
            ("sslmode=no-verify", 0),
            ("sslmode=no-verify&ROOT", 0),
        ],
    );
    // By address, too.
    let parameters = format!("sslmode=verify-full&sslrootcert={}", authority.root().display());
    wait(&server, "127.0.0.1", &parameters).run().code(0);
}

#[test]
fn a_certificate_for_another_host_satisfies_all_but_verify_full() {
    let authority = Authority::new();
    authority.issue("server", "a server", "subjectAltName=DNS:db.example", NOW);
    let server = encrypted(&authority, "server");
    check(
        &server,
        &authority.root(),
        &[
            ("sslmode=prefer&ROOT", 0),
            ("sslmode=require&ROOT", 0),
            ("sslmode=verify-ca&ROOT", 0),
            ("sslmode=no-verify&ROOT", 0),
        ],
    );
    let said = complaint(&server, &authority.root(), "verify-full");
    assert!(said.contains("for another host") && said.contains("db.example"), "{said}");
}

#[test]
fn an_unknown_authority_satisfies_only_modes_that_do_not_verify() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    check(
        &server,
        &other.root(),
        &[
            ("sslmode=prefer&ROOT", 0),
            ("sslmode=require", 0),
            ("sslmode=no-verify&ROOT", 0),
            // libpq's rule: with a root certificate, `require` means `verify-ca`.
            ("sslmode=require&ROOT", 78),
        ],
    );
    for mode in ["verify-ca", "verify-full"] {
        let said = complaint(&server, &other.root(), mode);
        assert!(said.contains("was not issued by a known authority"), "{said}");
        assert!(said.contains("('CN=a server', issued by 'CN=the authority')"), "{said}");
        assert!(said.contains("name the right one in sslrootcert"), "{said}");
    }
    let own = authority.path("server.crt");
    assert!(complaint(&server, &own, "verify-ca").contains("was not issued by a known authority"));
}

#[test]
fn expired_and_not_yet_valid_certificates_are_reported() {
    let authority = Authority::new();
    authority.issue("expired", "a server", LOCAL, LONG_AGO);
    authority.issue("early", "a server", LOCAL, NOT_YET);
    for (name, text) in [("expired", "has expired"), ("early", "is not valid yet")] {
        let server = encrypted(&authority, name);
        check(&server, &authority.root(), &[("sslmode=require", 0), ("sslmode=no-verify", 0)]);
        for mode in ["verify-ca", "verify-full"] {
            let said = complaint(&server, &authority.root(), mode);
            assert!(said.contains(text), "{said}");
        }
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_as_sslrootcert() {
    let authority = Authority::new();
    authority.self_signed("server", "localhost", LOCAL);
    authority.self_signed("elsewhere", "localhost", "subjectAltName=DNS:db.example");
    let server = encrypted(&authority, "server");
    let own = authority.path("server.crt");
    check(
        &server,
        &own,
        &[
            ("sslmode=require&ROOT", 0),
            ("sslmode=verify-ca&ROOT", 0),
            ("sslmode=verify-full&ROOT", 0),
        ],
    );
    let said = complaint(&server, &authority.root(), "verify-ca");
    assert!(said.contains("name that very certificate in sslrootcert"), "{said}");

    let server = encrypted(&authority, "elsewhere");
    let own = authority.path("elsewhere.crt");
    check(&server, &own, &[("sslmode=verify-ca&ROOT", 0)]);
    assert!(complaint(&server, &own, "verify-full").contains("for another host"));
}

/// As Amazon's for RDS: an authority for every region, with remarks in between.
#[test]
fn a_bundle_of_authorities_is_searched() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    let others: Vec<_> = (0..40)
        .map(|number| {
            let name = format!("region-{number}");
            authority.self_signed(&name, &name, "basicConstraints=critical,CA:TRUE");
            let certificate = std::fs::read_to_string(authority.path(&format!("{name}.crt")));
            format!("# {name}\r\n{}\n", certificate.unwrap())
        })
        .collect();
    let own = std::fs::read_to_string(authority.root()).unwrap();
    let place = directory(&[
        ("with.pem", &format!("{}{own}{}", others[..20].concat(), others[20..].concat())),
        ("without.pem", &others.concat()),
        (
            "broken.pem",
            &format!("{own}{}", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
        ),
    ]);
    let path = |file: &str| place.path().join(file);
    check(&server, &path("with.pem"), &[("sslmode=verify-full&ROOT", 0)]);
    let said = complaint(&server, &path("without.pem"), "verify-full");
    assert!(said.contains("was not issued by a known authority"), "{said}");
    let said = complaint(&server, &path("broken.pem"), "verify-full");
    assert!(said.contains("broken.pem is no usable root certificate"), "{said}");
    assert!(said.contains("(number 2 of 2 in it)"), "{said}");
}

#[test]
fn an_expired_client_certificate_is_rejected_with_the_reason() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    authority.issue("client", "postgres", "basicConstraints=CA:FALSE", LONG_AGO);
    let server = encrypted(&authority, "server");
    std::fs::copy(authority.root(), server.data().join("root.crt")).unwrap();
    server.set("ssl_ca_file='root.crt'");
    server.hba("local all all trust\nhostssl all all all cert\n");
    server.reload();
    let (certificate, key) = (authority.path("client.crt"), authority.path("client.key"));
    let files = format!("sslcert={}&sslkey={}", certificate.display(), key.display());
    wait(&server, "localhost", &format!("sslmode=require&{files}"))
        .run()
        .code(78)
        .says("the server does not accept our client certificate")
        .says("CertificateExpired");
}

#[test]
fn outdated_certificates_are_rejected_with_the_reason() {
    let authority = Authority::new();
    authority.version_1("old", "localhost");
    authority.issue("nameless", "localhost", "basicConstraints=CA:FALSE", NOW);
    let server = encrypted(&authority, "old");
    check(&server, &authority.root(), &[("sslmode=require", 0)]);
    let said = complaint(&server, &authority.root(), "verify-ca");
    assert!(said.contains("X.509 version 1"), "{said}");
    let server = encrypted(&authority, "nameless");
    check(&server, &authority.root(), &[("sslmode=verify-ca&ROOT", 0)]);
    let said = complaint(&server, &authority.root(), "verify-full");
    assert!(said.contains("no subjectAltName"), "{said}");
}

#[test]
fn a_server_without_tls_satisfies_only_modes_that_do_not_require_it() {
    let server = Server::shared();
    let authority = Authority::new();
    check(
        server,
        &authority.root(),
        &[("", 0), ("sslmode=disable", 0), ("sslmode=allow", 0), ("sslmode=prefer&ROOT", 0)],
    );
    for mode in ["require", "no-verify", "verify-ca", "verify-full"] {
        let said = complaint(server, &authority.root(), mode);
        assert!(said.contains("the server offers no TLS, and sslmode demands it"), "{said}");
        assert!(said.contains("ssl = on"), "{said}");
    }
}

#[test]
fn ssl_cert_file_names_the_systems_authorities() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    for parameters in ["sslrootcert=system", "sslmode=verify-full", "sslmode=verify-ca"] {
        let boot = |file: &Path| {
            wait(&server, "localhost", parameters)
                .env("SSL_CERT_FILE", file)
                .env("SSL_CERT_DIR", "/no/such/directory")
                .run()
        };
        boot(&authority.root()).code(0);
        boot(Path::new("/no/such/file")).code(78).says("has no certificate authorities");
    }
}

#[test]
fn pg_hba_may_require_or_reject_tls() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    let login = "all all all scram-sha-256\n";
    server.hba(&format!("local all all trust\nhostssl {login}"));
    server.reload();
    let root = authority.root();
    let modes = ["", "sslmode=allow", "sslmode=require", "sslmode=verify-full&ROOT"];
    check(&server, &root, &modes.map(|mode| (mode, 0)));
    refused(wait(&server, "localhost", "sslmode=disable")).says("no encryption");

    // The reason is that of TLS, not of the attempt without TLS that `prefer` makes afterwards.
    server.psql("postgres", "CREATE ROLE idle NOLOGIN PASSWORD 'canary-hunter2'");
    let idle = format!("postgres://idle:{PASSWORD}@localhost:{}/postgres", server.port());
    refused(premain(["wait"]).database(idle)).says("is not permitted to log in");

    server.hba(&format!("local all all trust\nhostnossl {login}"));
    server.reload();
    check(&server, &root, &[("", 0), ("sslmode=allow", 0), ("sslmode=disable", 0)]);
    refused(wait(&server, "localhost", "sslmode=require")).says("pg_hba.conf");
}

#[test]
fn channel_binding_is_used_when_required() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    server.hba("local all all trust\nhost all all all scram-sha-256\n");
    server.reload();
    let root = authority.root();
    check(
        &server,
        &root,
        &[
            ("channel_binding=require&sslmode=require", 0),
            ("channel_binding=require&sslmode=verify-full&ROOT", 0),
            ("channel_binding=require", 0),
            ("channel_binding=disable&sslmode=require", 0),
            ("channel_binding=prefer&sslmode=disable", 0),
            ("channel_binding=require&sslmode=disable", 78),
        ],
    );
    // Without TLS, or without a password, there is nothing to bind.
    server.hba("local all all trust\nhostnossl all all all scram-sha-256\n");
    server.reload();
    wait(&server, "localhost", "channel_binding=require").run().code(78).says("channel binding");
    server.hba("local all all trust\nhostssl all all all trust\n");
    server.reload();
    wait(&server, "localhost", "channel_binding=require").run().code(78).says("channel binding");
}

#[test]
fn a_client_certificate_authenticates_the_user() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("server", "a server", LOCAL, NOW);
    authority.issue("client", "postgres", "basicConstraints=CA:FALSE", NOW);
    authority.issue("another", "another", "basicConstraints=CA:FALSE", NOW);
    other.issue("client", "postgres", "basicConstraints=CA:FALSE", NOW);
    let server = encrypted(&authority, "server");
    std::fs::copy(authority.root(), server.data().join("root.crt")).unwrap();
    server.set("ssl_ca_file='root.crt'");
    let shown = |authority: &Authority, name: &str| {
        let (certificate, key) =
            (authority.path(&format!("{name}.crt")), authority.path(&format!("{name}.key")));
        let files = format!("sslcert={}&sslkey={}", certificate.display(), key.display());
        wait(&server, "localhost", &format!("sslmode=require&{files}"))
    };
    for hba in ["cert", "scram-sha-256 clientcert=verify-full", "trust clientcert=verify-full"] {
        server.hba(&format!("local all all trust\nhostssl all all all {hba}\n"));
        server.reload();
        shown(&authority, "client").run().code(0);
        refused(shown(&authority, "another"));
        shown(&other, "client").run().code(78).says("sslcert");
        refused(wait(&server, "localhost", "sslmode=require"))
            .says("connection requires a valid client certificate");
    }
    let wrong = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        authority.path("client.crt").display(),
        authority.path("another.key").display()
    );
    wait(&server, "localhost", &wrong).run().code(78);
}

#[test]
fn a_stopped_migration_is_cancelled_over_tls() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    server.hba("local all all trust\nhostssl all all all scram-sha-256\n");
    server.reload();
    let place = directory(&[("V1__slow.sql", "CREATE TABLE half (); SELECT pg_sleep(1000)")]);
    let parameters = format!("sslmode=verify-full&sslrootcert={}", authority.root().display());
    let port = server.port();
    let running = premain(["--migrations"])
        .with(place.path())
        .with("true")
        .database(format!("postgres://postgres:{PASSWORD}@localhost:{port}/postgres?{parameters}"))
        .start();
    let active = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_for("the slow statement runs", || (server.psql("postgres", active) == "1").then_some(()));
    running.signal(Signal::SIGTERM);
    running.end().code(143);
    assert_eq!(server.psql("postgres", active), "0");
    assert!(server.log().contains("canceling statement due to user request"), "{}", server.log());
    assert_eq!(server.psql("postgres", "SELECT to_regclass('half')"), "");
}

#[test]
fn a_server_with_tls_is_not_taken_for_a_pooler() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    let place = directory(&[("V1__t.sql", "CREATE TABLE t ()")]);
    let url = format!("postgres://postgres@localhost:{}/postgres?sslmode=require", server.port());
    let premain = premain(["migrate", "--log", "debug", "--migrations"]).with(place.path());
    premain.database(url).run().code(0).says("migrations 1 applied").says_nothing_of("pooler");
}

/// PostgreSQL 17 and later accept a handshake without an SSLRequest before it.
#[test]
fn direct_tls_negotiation_works_since_postgresql_17() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let mut server = Server::newest(&["ssl=on", "log_connections=on"]);
    server.certificate(&authority, "server");
    server.hba("hostssl all all all scram-sha-256\nlocal all all trust\n");
    server.run();
    let root = format!("sslrootcert={}", authority.root().display());
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = format!("sslnegotiation=direct&sslmode={mode}&{root}");
        wait(&server, "localhost", &parameters).run().code(0);
    }
    let bound = format!("sslnegotiation=direct&sslmode=verify-full&channel_binding=require&{root}");
    wait(&server, "localhost", &bound).run().code(0);
    let asked = format!("sslmode=verify-full&{root}");
    wait(&server, "localhost", &asked).run().code(0);
    wait(&server, "localhost", "sslnegotiation=direct&sslmode=prefer")
        .run()
        .code(78)
        .says("sslnegotiation=direct");
    let place = directory(&[("1_t.sql", "CREATE TABLE t ()")]);
    let url =
        format!("postgres://postgres:{PASSWORD}@localhost:{}/postgres?{bound}", server.port());
    migrate(place.path()).database(&url).run().code(0).says("migration 1_t applied");
}

/// Older servers take it for an invalid message, and close the connection.
#[test]
fn direct_tls_negotiation_is_rejected_before_postgresql_17() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    wait(&server, "localhost", "sslnegotiation=direct&sslmode=require")
        .words(["--wait-timeout", "1s"])
        .run()
        .code(69)
        .says("sslnegotiation=direct needs PostgreSQL 17");
}

#[test]
fn a_foreign_protocol_is_told_apart_from_a_server_without_resources() {
    let answer = |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read_exact(&mut [0; 8]);
                let _ = std::io::Write::write_all(&mut client, answer);
            }
        });
        premain(["wait", "--wait-timeout", "2s"])
            .database(format!("postgres://u@127.0.0.1:{port}/d"))
            .run()
    };
    answer(b"HTTP/1.1 400 Bad Request\r\n\r\n").code(78).says("does not speak PostgreSQL's");
    answer(b"Ecould not fork new process for connection\n\0").code(69).says("process");
}

#[test]
fn a_revoked_certificate_is_rejected_where_a_list_is_named() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let server = encrypted(&authority, "server");
    let lists = directory(&[]);
    let verified = format!("sslmode=verify-full&sslrootcert={}", authority.root().display());
    let file = format!("{verified}&sslcrl={}", authority.revoked("before.crl").display());
    wait(&server, "localhost", &file).run().code(0);
    authority.revoke("server");
    let list = authority.revoked("after.crl");
    std::fs::copy(&list, lists.path().join("a-list")).unwrap();
    let by_url = [
        format!("{verified}&sslcrl={}", list.display()),
        format!("{verified}&sslcrldir={}", lists.path().display()),
    ];
    for parameters in &by_url {
        wait(&server, "localhost", parameters).run().code(78).says("was revoked, says sslcrl");
    }
    wait(&server, "localhost", &verified).env("PGSSLCRL", &list).run().code(78).says("was revoked");
    let lists = lists.path();
    wait(&server, "localhost", &verified).env("PGSSLCRLDIR", lists).run().code(78).says("revoked");
    wait(&server, "localhost", &verified).run().code(0);
    // A list of another authority says nothing of this certificate.
    let other = Authority::new();
    let other = format!("{verified}&sslcrl={}", other.revoked("other.crl").display());
    wait(&server, "localhost", &other).run().code(78);
}

#[test]
fn a_hostaddr_is_connected_to_and_the_host_is_verified() {
    let authority = Authority::new();
    authority.issue("server", "a server", "subjectAltName=DNS:db.example", NOW);
    let server = encrypted(&authority, "server");
    let root = authority.root().display().to_string();
    let parameters = format!("sslmode=verify-full&sslrootcert={root}&hostaddr=127.0.0.1");
    wait(&server, "db.example", &parameters).run().code(0);
    wait(&server, "other.example", &parameters).run().code(78).says("for another host");
    let by_variable = wait(&server, "", "sslmode=verify-full").env("PGSSLROOTCERT", &root);
    by_variable.env("PGHOST", "db.example").env("PGHOSTADDR", "127.0.0.1").run().code(0);
}

#[test]
fn versions_of_tls_outside_the_limits_are_not_spoken() {
    let authority = Authority::new();
    authority.issue("server", "a server", LOCAL, NOW);
    let mut server = Server::create(&["ssl=on", "ssl_max_protocol_version='TLSv1.2'"]);
    server.certificate(&authority, "server");
    server.run();
    wait(&server, "localhost", "sslmode=require&ssl_max_protocol_version=TLSv1.2").run().code(0);
    let newer = wait(&server, "localhost", "sslmode=require&ssl_min_protocol_version=TLSv1.3");
    newer.env("PREMAIN_WAIT_TIMEOUT", "1s").run().code(78).says("the TLS handshake failed");
    wait(&server, "localhost", "sslmode=require")
        .env("PGSSLMINPROTOCOLVERSION", "TLSv1.3")
        .env("PREMAIN_WAIT_TIMEOUT", "1s")
        .run()
        .code(78);
}

#[test]
fn a_server_whose_key_premain_does_not_know_gets_no_login_in_clear_text() {
    let authority = Authority::new();
    authority.self_signed_on("server", "secp521r1");
    let server = encrypted(&authority, "server");
    for mode in ["prefer", "require"] {
        wait(&server, "localhost", &format!("sslmode={mode}"))
            .env("PREMAIN_WAIT_TIMEOUT", "1s")
            .run()
            .code(78)
            .says("give the server a key of RSA, P-256 or P-384");
    }
    wait(&server, "localhost", "sslmode=disable").run().code(0);
}
