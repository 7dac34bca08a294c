//! A canary password wherever a secret can be given, and every way in which premain can end.
//!
//! `Running::end` searches every log, and the output of every command, of all tests for it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use crate::support::certificates::Authority;
use crate::support::postgres::{PASSWORD, Server};
use crate::support::premain::{Premain, Running, migrate, premain};
use crate::support::proxy::{Fault, Kind, Proxy, Speaker};
use crate::support::{directory, output, program};

const OTHER_USER: u32 = 65_534;
const APPLICATION_USER: u32 = 12_345;

/// Every way to end, at the most verbose level, in text and in JSON.
fn through_every_end(told: impl Fn(Premain, &str) -> Premain) {
    let server = Server::shared();
    let database = server.database();
    let proxy = Proxy::to(server);
    let good = directory(&[("1_t.sql", "CREATE TABLE IF NOT EXISTS t ()")]);
    let bad = directory(&[("2_bad.sql", "SELECT nonsense")]);
    let alive = format!("127.0.0.1:{}", server.port());
    let ends = [
        (good.path(), alive.clone(), "60s", 0),
        (bad.path(), alive.clone(), "60s", 65),
        (good.path(), "127.0.0.1:1".to_owned(), "300ms", 69),
        (good.path(), "nosuch.invalid:5432".to_owned(), "300ms", 69),
        (good.path(), proxy.address(), "60s", 0),
    ];
    for format in ["text", "json"] {
        for (directory, address, timeout, code) in &ends {
            proxy.set(Fault {
                speaker: Speaker::Server,
                message: 30,
                kind: Kind::Reset,
                stays_away: false,
            });
            let premain = migrate(directory).words([
                "--log",
                "trace",
                "--log-format",
                format,
                "--wait-timeout",
                timeout,
            ]);
            let ended = told(premain, &format!("{address}/{}", database.name)).run();
            assert_eq!(ended.code, *code, "{address}: {}", ended.log);
        }
    }
}

#[test]
fn passwords_in_urls_are_never_shown() {
    let url = |template: &'static str| {
        through_every_end(|premain, place| {
            let (address, name) = place.split_once('/').unwrap();
            let (host, port) = address.split_once(':').unwrap();
            let url = template
                .replace("PLACE", place)
                .replace("HOST", host)
                .replace("PORT", port)
                .replace("NAME", name)
                .replace("SECRET", PASSWORD);
            premain.env("DATABASE_URL", url)
        });
    };
    url("postgres://postgres:SECRET@PLACE");
    url("postgresql://postgres@PLACE?password=SECRET&token=SECRET&sslpassword=SECRET");
    url("host=HOST port=PORT user=postgres password='SECRET' dbname=NAME");
}

#[test]
fn passwords_in_variables_files_and_options_are_never_shown() {
    through_every_end(|premain, place| {
        let (address, name) = place.split_once('/').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        let pairs = [("PGHOST", host), ("PGPORT", port), ("PGUSER", "postgres")];
        let premain = pairs.iter().fold(premain, |premain, (name, value)| premain.env(name, value));
        premain.env("PGDATABASE", name).env("PGPASSWORD", PASSWORD)
    });
    let secret = directory(&[("password", PASSWORD)]);
    through_every_end(|premain, place| {
        let (address, name) = place.split_once('/').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        let pairs = [("POSTGRES_HOST", host), ("POSTGRES_PORT", port), ("POSTGRES_DB", name)];
        let premain = pairs.iter().fold(premain, |premain, (name, value)| premain.env(name, value));
        premain
            .env("POSTGRES_USER", "postgres")
            .env("POSTGRES_PASSWORD_FILE", secret.path().join("password"))
    });
    through_every_end(|premain, place| {
        let url = format!("postgres://postgres:{PASSWORD}@{place}");
        let target = format!("--wait-for={url}");
        premain
            .env("MIGRATION_DATABASE_URL", &url)
            .env("DATABASE_URL", format!("postgres://other:{PASSWORD}@other.invalid/other"))
            .with(target)
    });
}

#[test]
fn logins_and_tokens_of_http_targets_are_never_shown() {
    let wait = |target: String| {
        premain(["wait", "--log", "trace", "--wait-timeout", "200ms", "--wait-for"]).with(target)
    };
    wait(format!("http://127.0.0.1:1/health?token={PASSWORD}")).run().code(69);
    wait(format!("http://user:{PASSWORD}@127.0.0.1:1/health")).run().code(64);
    wait(format!("http://127.0.0.1:1/{}?token={PASSWORD}#{PASSWORD}", "x".repeat(99)))
        .run()
        .code(69);
}

#[test]
fn client_keys_are_never_shown() {
    let authority = Authority::new();
    authority.issue("client", "postgres", "basicConstraints=CA:FALSE", ["20200101000000Z"; 2]);
    let key = authority.path("client.key");
    let ended = premain(["wait", "--log", "trace", "--wait-timeout", "200ms"])
        .database(format!(
            "postgres://u:{PASSWORD}@127.0.0.1:1/d?sslmode=require&sslcert={}&sslkey={}&sslpassword={PASSWORD}",
            authority.path("client.crt").display(),
            key.display()
        ))
        .run();
    let body = fs::read_to_string(key).unwrap();
    assert!(!ended.log.contains(body.lines().nth(1).unwrap()), "{}", ended.log);
}

#[test]
fn passwords_in_migrations_are_masked() {
    let database = Server::shared().database();
    let cases = [
        // The line is shown, and a caret under what is wrong behind the password.
        format!("CREATE ROLE canary LOGIN PASSWORD '{PASSWORD}' NOSUCHTHING"),
        format!("ALTER ROLE canary\nPASSWORD E'{PASSWORD}' VALID UNTIL"),
        // The server shows the statement that a function ran.
        format!("DO $$ BEGIN EXECUTE 'ALTER ROLE nosuch PASSWORD ''{PASSWORD}'''; END $$"),
        format!("DO $$ BEGIN RAISE EXCEPTION 'postgres://u:{PASSWORD}@h failed'; END $$"),
        format!("DO $$ BEGIN RAISE NOTICE 'password={PASSWORD}'; END $$; SELECT nonsense"),
    ];
    for sql in cases {
        for format in ["text", "json"] {
            let place = directory(&[("1_role.sql", sql.as_str())]);
            let ended = migrate(place.path())
                .words(["--log", "trace", "--log-format", format])
                .database(database.url())
                .run()
                .code(76);
            assert!(ended.log.contains("***"), "it was there, and masked: {}", ended.log);
        }
    }
}

/// premain, waiting without a limit, with the canary wherever one can be put.
fn waiting(user: u32) -> Running {
    let url = format!("postgres://u:{PASSWORD}@127.0.0.1:1/d");
    let mut running = premain(["--wait-timeout", "0", "--wait-for"])
        .with(&url)
        .words(["--wait-for", &format!("http://127.0.0.1:1/?token={PASSWORD}"), "--", "true"])
        .env("MIGRATION_DATABASE_URL", &url)
        .run_by(user)
        .may_dump_core()
        .start();
    running.wait_for("waiting for PostgreSQL");
    running
}

/// The pids of the init and of its child, which boots.
fn both(running: &Running) -> [u32; 2] {
    let init = running.pid();
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    [init, children.trim().parse().unwrap()]
}

/// What this user can see of the process: `ps` with the environment, and the text files in /proc.
fn seen_by(user: u32, pid: u32) -> String {
    let script = format!(
        "ps wwe -o args= -p {pid}; for file in cmdline environ stat status comm \
         auxv maps; do cat /proc/{pid}/$file; done 2>&1"
    );
    let mut command = Command::new(program("setpriv", "util-linux"));
    command
        .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"])
        .args(["sh", "-c", &script]);
    let output = output(&mut command);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn other_users_cannot_read_the_secrets_of_a_waiting_premain() {
    program("ps", "procps");
    let running = waiting(APPLICATION_USER);
    for pid in both(&running) {
        let others = seen_by(OTHER_USER, pid);
        assert!(others.contains("postgres://u:**************@127.0.0.1:1/d"), "{others}");
        assert!(!others.contains(PASSWORD), "{others}");
        // Not even the same user: that may be the application's, which an attacker may make read files.
        let own = seen_by(APPLICATION_USER, pid);
        assert!(own.contains("environ: Permission denied"), "{own}");
        assert!(!own.contains(PASSWORD), "{own}");
        assert_eq!(fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0, "not dumpable");
        // Root may read it, and finds no password.
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&environ).contains(PASSWORD));
    }
    running.signal(Signal::SIGTERM);
    running.end().code(143);
}

/// The kernel writes no core of a process that is not dumpable, and shows that by giving its files
/// in /proc to root.
#[test]
fn the_boot_dumps_no_core_and_the_application_may() {
    let running = waiting(APPLICATION_USER);
    let owner = |pid| fs::metadata(format!("/proc/{pid}/maps")).unwrap().uid();
    assert_eq!(both(&running).map(owner), [0, 0]);
    running.signal(Signal::SIGTERM);
    running.end().code(143);

    let script = "ulimit -c; stat -c %u /proc/self/maps";
    let ended =
        premain(["--", "sh", "-c", script]).run_by(APPLICATION_USER).may_dump_core().run().code(0);
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    let limit = if hard == u64::MAX { "unlimited".to_owned() } else { (hard / 512).to_string() };
    assert_eq!(ended.output, format!("{limit}\n{APPLICATION_USER}\n"));
}
