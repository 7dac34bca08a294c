//! INT and TERM end every command at once, also where the server does not answer.

use nix::sys::signal::Signal;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, Running, migrate, premain};
use crate::support::proxy::{Fault, Kind, Proxy, Speaker};
use crate::support::{directory, wait_for};

const FIRST: [(&str, &str); 2] =
    [("1_a.up.sql", "CREATE TABLE a ()"), ("1_a.down.sql", "DROP TABLE a")];
const SECOND: (&str, &str) = ("2_b.up.sql", "CREATE TABLE b ()");

const WAITING: [&[&str]; 1] = [&["wait"]];
const READING: [&[&str]; 2] = [&["status"], &["plan"]];
const LOCKING: [&[&str]; 6] = [
    &["migrate"],
    &["baseline"],
    &["resolve", "--applied", "2"],
    &["rollback", "--yes"],
    &["reset", "--yes"],
    &["run", "sh", "-c", "exit 7"],
];

const SIGNALS: [(Signal, i32); 2] = [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)];

/// A database with the first of two migrations applied.
fn half_migrated() -> Database<'static> {
    let database = Server::shared().database();
    let place = directory(&FIRST);
    migrate(place.path()).database(database.url()).run().code(0);
    database
}

fn files() -> tempfile::TempDir {
    directory(&[FIRST[0], FIRST[1], SECOND])
}

fn command(words: &[&str], place: &tempfile::TempDir, url: &str) -> Premain {
    let migrations = place.path().to_str().unwrap().to_owned();
    premain(words).database(url).env("PREMAIN_MIGRATIONS", migrations)
}

fn ends_with(signal: Signal, code: i32, running: Running) {
    running.signal(signal);
    // There is no rollback to wait for.
    running.end().code(code).says("stopped by SIG").says_nothing_of("waiting for its rollback");
}

#[test]
fn a_server_that_takes_the_login_and_says_nothing_more_holds_up_no_command() {
    let commands = READING.iter().chain(&LOCKING);
    let all = commands.flat_map(|words| SIGNALS.map(|signal| (words, signal)));
    std::thread::scope(|scope| {
        for (words, (signal, code)) in all {
            scope.spawn(move || {
                let (database, place) = (half_migrated(), files());
                let proxy = Proxy::to(Server::shared());
                // Message 0 is the login.
                proxy.set(Fault {
                    speaker: Speaker::Client,
                    message: 1,
                    kind: Kind::Stall,
                    stays_away: false,
                });
                let running = command(words, &place, &proxy.url(&database.name)).start();
                wait_for("the first statement", || (!proxy.is_armed()).then_some(()));
                ends_with(signal, code, running);
            });
        }
    });
}

#[test]
fn a_server_that_does_not_even_answer_the_login_holds_up_no_command() {
    let commands = READING.iter().chain(&LOCKING).chain(&WAITING);
    let all = commands.flat_map(|words| SIGNALS.map(|signal| (words, signal)));
    std::thread::scope(|scope| {
        for (words, (signal, code)) in all {
            scope.spawn(move || {
                let place = files();
                let proxy = Proxy::to(Server::shared());
                proxy.set(Fault {
                    speaker: Speaker::Client,
                    message: 0,
                    kind: Kind::Stall,
                    stays_away: false,
                });
                let running = command(words, &place, &proxy.url("postgres")).start();
                wait_for("the login", || (!proxy.is_armed()).then_some(()));
                ends_with(signal, code, running);
            });
        }
    });
}

#[test]
fn another_replica_s_lock_holds_up_no_command() {
    let server = Server::shared();
    // `reset` ends other sessions, but not a superuser's.
    server.psql("postgres", "CREATE ROLE developer LOGIN");
    std::thread::scope(|scope| {
        for (words, (signal, code)) in
            LOCKING.iter().flat_map(|words| SIGNALS.map(|signal| (words, signal)))
        {
            scope.spawn(move || {
                let (database, place) = (server.database(), files());
                let url = database.url().replace("postgres@", "developer@");
                let name = &database.name;
                server.psql("postgres", &format!("ALTER DATABASE {name} OWNER TO developer"));
                database.psql("ALTER SCHEMA public OWNER TO developer");
                let first = directory(&FIRST);
                migrate(first.path()).database(&url).run().code(0);
                let _holder = database.open("SELECT pg_advisory_lock(31650977343957358);");
                let mut running = command(words, &place, &url).start();
                running.wait_for("waiting for the migration lock");
                ends_with(signal, code, running);
                assert!(database.has_table("a") && !database.has_table("b"));
            });
        }
    });
    server.psql("postgres", "REASSIGN OWNED BY developer TO postgres");
}
