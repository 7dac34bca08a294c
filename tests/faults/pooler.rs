//! Behind a connection pooler: PgBouncer in each of its modes.

use std::io::Write as _;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, migrate, premain};
use crate::support::{directory, process, wait_for};

const SHARING: [&str; 2] = ["transaction", "statement"];

fn files() -> tempfile::TempDir {
    directory(&[
        ("V1__t.sql", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"),
        ("V2__u.sql", "INSERT INTO t VALUES (2)"),
    ])
}

fn through(pooler: &PgBouncer, database: &Database<'_>, place: &tempfile::TempDir) -> Premain {
    migrate(place.path()).database(pooler.url(database))
}

fn no_lock_is_held(server: &Server) {
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(server.psql("postgres", held), "0", "a stranded lock");
}

#[test]
fn session_pooling_works_like_a_direct_connection() {
    let server = Server::start(&[]);
    // No reset query: what a session leaves behind, the next client finds.
    for settings in [&[][..], &["default_pool_size=1"], &["server_reset_query="]] {
        let database = server.database();
        let pooler = PgBouncer::before(&server, "session", settings);
        let place = files();
        let running: Vec<_> = (0..4).map(|_| through(&pooler, &database, &place).start()).collect();
        let ended: Vec<_> = running.into_iter().map(|running| running.end().code(0)).collect();
        let applied = ended.iter().filter(|ended| ended.log.contains("migrations 2 applied"));
        assert_eq!(applied.count(), 1);
        assert_eq!(database.psql("SELECT count(*), sum(a) FROM t"), "2|3");
        no_lock_is_held(&server);
    }
}

#[test]
fn a_killed_replica_behind_a_pooler_releases_the_lock() {
    let server = Server::start(&[]);
    let database = server.database();
    let pooler = PgBouncer::before(&server, "session", &[]);
    database.psql("CREATE SCHEMA site; CREATE TABLE site.gate ()");
    let sql = "SELECT pg_sleep(1000) WHERE to_regclass('site.gate') IS NOT NULL";
    let place = directory(&[("V1__slow.sql", sql)]);
    let first = through(&pooler, &database, &place).start();
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_for("the slow statement runs", || (database.psql(sleeps) == "1").then_some(()));
    let mut second = through(&pooler, &database, &place).start();
    second.wait_for("waiting for the migration lock");
    database.psql("DROP TABLE site.gate");
    first.signal(Signal::SIGKILL);
    second.end().code(0).says("migration V1__slow applied");
    no_lock_is_held(&server);
}

#[test]
fn transaction_and_statement_pooling_are_rejected_with_the_remedy() {
    let server = Server::start(&[]);
    let database = server.database();
    let place = files();
    let pools = [&[][..], &["default_pool_size=1"], &["server_round_robin=1", "min_pool_size=4"]];
    for (mode, settings) in SHARING.iter().flat_map(|mode| pools.map(|settings| (mode, settings))) {
        let pooler = PgBouncer::before(&server, mode, settings);
        through(&pooler, &database, &place)
            .run()
            .code(78)
            .says("DATABASE_URL leads to a connection pooler that keeps no session for premain")
            .says("name a direct connection in MIGRATION_DATABASE_URL (or DIRECT_URL)");
        no_lock_is_held(&server);
    }
    assert!(!database.has_table("t") && !database.has_table("refinery_schema_history"));
}

#[test]
fn the_mode_of_a_busy_pooler_is_detected() {
    let server = Server::start(&[]);
    let database = server.database();
    let place = files();
    for mode in SHARING {
        let pooler = PgBouncer::before(&server, mode, &["default_pool_size=4"]);
        let _others: Vec<_> = (0..4).map(|_| Busy::start(&pooler, &database)).collect();
        for _ in 0..5 {
            through(&pooler, &database, &place).run().code(78).says("MIGRATION_DATABASE_URL");
        }
        no_lock_is_held(&server);
    }
}

/// A client that runs statements all the time.
struct Busy(Child);

impl Busy {
    fn start(pooler: &PgBouncer, database: &Database<'_>) -> Busy {
        let mut client = pooler.client(database);
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // Until it is killed, which closes the pipe.
        std::thread::spawn(move || while writeln!(input, "SELECT pg_sleep(0.002);").is_ok() {});
        Busy(child)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        process::kill_family(&mut self.0);
    }
}

#[test]
fn every_pool_mode_works_with_nothing_pending() {
    let server = Server::start(&[]);
    let database = server.database();
    let place = files();
    migrate(place.path()).database(database.url()).run().code(0);
    for mode in ["session", "transaction", "statement"] {
        let pooler = PgBouncer::before(&server, mode, &[]);
        through(&pooler, &database, &place).run().code(0).says("none pending (2 applied before)");
        no_lock_is_held(&server);
    }
}

#[test]
fn migrations_use_the_direct_url_and_the_application_the_pooler() {
    let server = Server::start(&[]);
    let pooler = PgBouncer::before(&server, "transaction", &[]);
    for variable in ["MIGRATION_DATABASE_URL", "DIRECT_URL"] {
        let (database, place) = (server.database(), files());
        let premain = through(&pooler, &database, &place).env(variable, database.url());
        premain.run().code(0).says("migrations 2 applied");
    }
}

#[test]
fn parameters_that_the_pooler_drops_are_named() {
    let server = Server::start(&[]);
    let (database, place) = (server.database(), files());
    database.psql("CREATE SCHEMA app");
    let pooler = PgBouncer::before(&server, "session", &[]);
    for parameter in ["options=-c%20work_mem%3D1MB", "schema=app"] {
        migrate(place.path())
            .database(format!("{}?{parameter}", pooler.url(&database)))
            .run()
            .code(78)
            .says("unsupported startup parameter")
            .says("does not support the options or schema of the URL")
            .says("MIGRATION_DATABASE_URL");
    }
    let pooler = PgBouncer::before(&server, "session", &["ignore_startup_parameters=options"]);
    migrate(place.path())
        .database(format!("{}?schema=app", pooler.url(&database)))
        .run()
        .code(78)
        .says("it does not pass on the URL's schema=app (ignore_startup_parameters)");
    assert!(!database.has_table("t") && !database.has_table("app.t"));
}

#[test]
fn a_direct_connection_runs_no_pooler_check() {
    let (database, place) = (Server::shared().database(), files());
    for url in [database.url(), database.socket_url()] {
        database.psql("DROP TABLE IF EXISTS t, refinery_schema_history");
        let premain = migrate(place.path()).env("PREMAIN_LOG", "debug").database(url);
        premain.run().code(0).says("migrations 2 applied").says_nothing_of("pooler");
    }
}

#[test]
fn a_command_that_fails_gives_its_session_back_without_the_lock() {
    let server = Server::start(&[]);
    let (database, place) = (server.database(), files());
    migrate(place.path()).database(database.url()).run().code(0);
    // The pooler resets nothing itself.
    let pooler = PgBouncer::before(&server, "session", &["server_reset_query="]);
    for version in ["nosuch", "1"] {
        let resolve = premain(["resolve", "--applied", version, "--migrations"]).with(place.path());
        resolve.database(pooler.url(&database)).run().code(64);
        no_lock_is_held(&server);
    }
}
