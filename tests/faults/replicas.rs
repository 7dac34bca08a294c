//! Many replicas at once: exactly one migrates, once; when it dies, the next one takes over.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use crate::support::layout::{migrations, recorded};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, Running, migrate, premain};
use crate::support::{directory, gate, node, output, program, wait_for};

const FILES: [(&str, &str); 5] = [
    ("V1__t.sql", "CREATE TABLE t (a int)"),
    ("V2__one.sql", "INSERT INTO t VALUES (1)"),
    ("V3__two.sql", "INSERT INTO t VALUES (2)"),
    ("V4__three.sql", "INSERT INTO t VALUES (3)"),
    ("V5__four.sql", "INSERT INTO t VALUES (4)"),
];

const RECORDED: &str = "SELECT count(*), count(DISTINCT version) FROM refinery_schema_history";

#[test]
fn a_hundred_replicas_share_forty_connections() {
    let server = Server::start(&["max_connections=40"]);
    let database = server.database();
    let mut files = FILES;
    let slow = format!("{}; {}", gate::PASS, files[1].1);
    files[1].1 = &slow;
    let place = directory(&files);
    let gate = gate::close(&database);
    let start = || {
        let premain = migrate(place.path()).words(["--wait-timeout", "10m"]);
        premain.database(database.url()).start()
    };
    let running: Vec<_> = (0..100).map(|_| start()).collect();
    wait_for("one migrates, each of the others waits for the lock or for a connection", || {
        let waits = |running: &&Running| {
            let log = running.log();
            log.contains("waiting for the migration lock") || log.contains("(53300)")
        };
        (running.iter().filter(waits).count() >= 99).then_some(())
    });
    drop(gate);
    let ended: Vec<_> = running.into_iter().map(|running| running.end().code(0)).collect();
    let applied = ended.iter().filter(|ended| ended.log.contains("migrations 5 applied"));
    assert_eq!(applied.count(), 1);
    let turned_away = ended.iter().filter(|ended| ended.log.contains("(53300)")).count();
    assert!(turned_away > 0, "the server was never full, which proves nothing");
    assert_eq!(database.psql("SELECT count(*), sum(a) FROM t"), "4|10");
    assert_eq!(database.psql(RECORDED), "5|5");
}

#[test]
fn two_versions_of_an_image_migrate_at_once() {
    let server = Server::start(&[]);
    let (old, new) = (directory(&FILES[..3]), directory(&FILES));
    for _ in 0..3 {
        let database = server.database();
        let running: Vec<_> = (0..20)
            .map(|index| {
                let place = if index % 2 == 0 { &old } else { &new };
                migrate(place.path()).database(database.url()).start()
            })
            .collect();
        for running in running {
            running.end().code(0);
        }
        assert_eq!(database.psql("SELECT count(*), sum(a) FROM t"), "4|10");
        assert_eq!(database.psql(RECORDED), "5|5");
    }
}

#[test]
fn premain_waits_for_prisma_migrate_deploy() {
    let server = Server::shared();
    for _ in 0..3 {
        let database = server.database();
        let slow = format!("{}; INSERT INTO t VALUES (1)", gate::PASS);
        let gate = gate::close(&database);
        let place = directory(&[
            ("1_t/migration.sql", "CREATE TABLE t (a int)"),
            ("2_slow/migration.sql", &slow),
            ("3_two/migration.sql", "INSERT INTO t VALUES (2)"),
        ]);
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| node::prisma("apply", &database, place.path(), ""));
            let prisma_holds_its_lock = "SELECT count(*) > 0 FROM pg_locks \
                 WHERE locktype = 'advisory' AND objid = 72707369 AND granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            wait_for("Prisma takes its lock", || {
                (database.psql(prisma_holds_its_lock) == "t").then_some(())
            });
            let mut ours = migrate(place.path()).database(database.url()).start();
            ours.wait_for("waiting for the migration lock, held by pid");
            drop(gate);
            theirs.join().unwrap().unwrap();
            ours.end().code(0).says("none pending (3 applied before)");
        });
        assert_eq!(database.psql("SELECT count(*), sum(a) FROM t"), "2|3");
        let recorded = "SELECT count(*), count(DISTINCT migration_name) FROM _prisma_migrations";
        assert_eq!(database.psql(recorded), "3|3");
    }
}

/// A migration that sleeps as long as `site.gate` exists when it begins: the first replica runs it, the
/// second one waits for the lock.
struct Relay<'a> {
    database: Database<'a>,
    place: tempfile::TempDir,
}

impl<'a> Relay<'a> {
    fn on(server: &'a Server) -> Relay<'a> {
        let database = server.database();
        database.psql("CREATE SCHEMA site; CREATE TABLE site.gate ()");
        let sql = "CREATE TABLE half (); \
                   SELECT pg_sleep(1000) WHERE to_regclass('site.gate') IS NOT NULL";
        Relay { database, place: directory(&[("V1__slow.sql", sql)]) }
    }

    fn start(&self, url: &str) -> Running {
        migrate(self.place.path()).database(url).start()
    }

    fn is_in_the_midst(&self) {
        wait_for("the slow statement runs", || (self.sleepers() == "1").then_some(()));
    }

    fn sleepers(&self) -> String {
        self.database.psql(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        )
    }

    /// The next replica does not sleep.
    fn open_the_gate(&self) {
        self.database.psql("DROP TABLE site.gate");
    }
}

#[test]
fn a_killed_replica_releases_the_lock() {
    let relay = Relay::on(Server::shared());
    let first = relay.start(&relay.database.url());
    relay.is_in_the_midst();
    let mut second = relay.start(&relay.database.url());
    second.wait_for("waiting for the migration lock, held by pid");
    relay.open_the_gate();
    first.signal(Signal::SIGKILL);
    first.end().code(137);
    // The server checks for a lost client every second, also during a statement.
    second.end().code(0).says("got the migration lock").says("migration V1__slow applied");
    assert_eq!(relay.database.psql(RECORDED), "1|1");
}

#[test]
fn a_terminated_session_releases_the_lock() {
    let relay = Relay::on(Server::shared());
    let first = relay.start(&relay.database.url());
    relay.is_in_the_midst();
    let mut second = relay.start(&relay.database.url());
    second.wait_for("waiting for the migration lock, held by pid");
    relay.open_the_gate();
    relay.database.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
    // The first replica reconnects, and the one that gets the lock applies the migration.
    second.end().code(0).says("got the migration lock");
    first.end().code(0).says("migration V1__slow was interrupted, the connection was lost");
    assert_eq!(relay.database.psql(RECORDED), "1|1");
}

#[test]
fn a_frozen_replica_keeps_the_lock_and_is_named() {
    let relay = Relay::on(Server::shared());
    let first = relay.start(&relay.database.url());
    relay.is_in_the_midst();
    first.signal(Signal::SIGSTOP);
    relay.open_the_gate();
    let pid = relay.database.psql(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = \
         (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    migrate(relay.place.path())
        .words(["--lock-timeout", "1s"])
        .database(relay.database.url())
        .run()
        .code(75)
        .says(&format!("held by pid {pid} (premain, postgres@"));
    // The remedy in docs/production.md.
    let second = relay.start(&relay.database.url());
    relay.database.psql(&format!("SELECT pg_terminate_backend({pid})"));
    second.end().code(0).says("migration V1__slow applied");
    first.signal(Signal::SIGCONT);
    first.end().code(0).says("connecting again");
    assert_eq!(relay.database.psql(RECORDED), "1|1");
}

#[test]
fn a_replica_cut_off_from_the_network_releases_the_lock() {
    let cable = Cable::new();
    let mut server = Server::create(&["listen_addresses='*'"]);
    server.move_into(&Cable::namespace(&cable.ends[0]));
    server.hba("local all all trust\nhost all all all trust\n");
    server.run();
    let relay = Relay::on(&server);
    let (near, far) = (relay.database.socket_url(), relay.database.url());
    let far = migrate(relay.place.path()).database(far.replace("127.0.0.1", Cable::ADDRESSES[0]));
    let first = cable.start_at_the_far_end(far);
    relay.is_in_the_midst();
    let mut second = relay.start(&near);
    second.wait_for("waiting for the migration lock, held by pid");
    relay.open_the_gate();
    cable.cut();
    wait_for("the server notices", || (relay.sleepers() == "0").then_some(()));
    second.end().code(0).says("migration V1__slow applied");
    first.end().code(75).says("migration V1__slow was interrupted, the connection was lost");
    assert_eq!(relay.database.psql(RECORDED), "1|1");
}

/// Two network namespaces, and a virtual cable from one to the other.
struct Cable {
    ends: [String; 2],
}

impl Cable {
    const ADDRESSES: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

    fn new() -> Cable {
        let cable =
            Cable { ends: ["a", "b"].map(|end| format!("premain{}{end}", std::process::id())) };
        let [near, far] = &cable.ends;
        for end in &cable.ends {
            ip(&["netns", "add", end]);
        }
        ip(&[
            "-n", near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
            far,
        ]);
        for (end, address) in cable.ends.iter().zip(Cable::ADDRESSES) {
            ip(&["-n", end, "address", "add", &format!("{address}/24"), "dev", "cable"]);
            ip(&["-n", end, "link", "set", "cable", "up"]);
        }
        cable
    }

    fn namespace(end: &str) -> PathBuf {
        Path::new("/run/netns").join(end)
    }

    fn start_at_the_far_end(&self, premain: Premain) -> Running {
        let namespace = File::open(Cable::namespace(&self.ends[1])).unwrap();
        // setns changes only the calling thread.
        let enter = move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            premain.start()
        };
        std::thread::spawn(enter).join().unwrap()
    }

    /// From now on packets are lost without a notice.
    fn cut(&self) {
        ip(&["-n", &self.ends[1], "address", "flush", "dev", "cable"]);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in &self.ends {
            let mut command = Command::new(program("ip", "iproute2"));
            output(command.args(["netns", "delete", end]));
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = output(Command::new(program("ip", "iproute2")).args(arguments));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}, which takes root: {error}");
}

#[test]
fn sessions_make_the_server_check_for_a_lost_client() {
    let database = Server::shared().database();
    let place = directory(&[(
        "V1__seen.sql",
        "CREATE TABLE seen AS SELECT name, setting FROM pg_settings \
         WHERE name LIKE 'tcp\\_%' OR name LIKE 'client\\_connection%'",
    )]);
    migrate(place.path()).database(database.url()).run().code(0);
    assert_eq!(
        database.psql("SELECT name, setting FROM seen ORDER BY 1"),
        "client_connection_check_interval|1000\ntcp_keepalives_count|3\n\
         tcp_keepalives_idle|10\ntcp_keepalives_interval|5\ntcp_user_timeout|30000"
    );
}

#[test]
fn a_script_that_releases_all_locks_is_applied_once() {
    let release = "SELECT pg_advisory_unlock_all()";
    let (pass, insert) = (gate::PASS, "INSERT INTO applied VALUES (1)");
    // Where the text does not show it, both replicas run it, and one of them keeps it.
    let cases = [
        ("in its transaction", format!("{release};\n{pass};\n{insert}"), false),
        (
            "after its own COMMIT",
            format!("SELECT 1;\nCOMMIT;\n{release};\n{pass};\n{insert}"),
            false,
        ),
        (
            "without a transaction",
            format!("-- premain: no-transaction\n{release};\n{pass};\n{insert}"),
            false,
        ),
        (
            "beside what must be alone",
            format!("REINDEX TABLE parted;\nVACUUM applied;\n{release};\n{pass};\n{insert}"),
            false,
        ),
        ("as DISCARD ALL", format!("DISCARD ALL;\n{pass};\n{insert}"), false),
        ("in a function", format!("SELECT release();\n{pass};\n{insert}"), true),
    ];
    let setup = "CREATE TABLE applied (n int); CREATE TABLE parted (n int PRIMARY KEY) PARTITION BY LIST (n); \
                 CREATE FUNCTION release() RETURNS void LANGUAGE plpgsql AS \
                 $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'unlock_all()'; END $$";
    for format in ["drizzle", "sql"] {
        for (where_, script, both_run) in &cases {
            let database = Server::shared().database();
            let replica = |count| {
                let script = |n| if n == 1 { setup.to_owned() } else { script.clone() };
                let place = migrations(format, count, script);
                let migrate = migrate(place.path()).words(["--format", format]);
                (migrate.database(database.url()).start(), place)
            };
            let (first, _place) = replica(1);
            first.end().code(0);
            let gate = gate::close(&database);
            let (mut first, _place) = replica(2);
            let sleeping = |count| {
                wait_for("replicas wait at the gate", || {
                    let sql = "SELECT count(*) FROM pg_stat_activity \
                               WHERE datname = current_database() AND wait_event = 'PgSleep'";
                    (database.psql(sql) == count).then_some(())
                });
            };
            sleeping("1");
            let (mut second, _place) = replica(2);
            match both_run {
                true => sleeping("2"),
                false => second.wait_for("waiting for the migration lock, held by pid"),
            }
            assert!(!first.has_ended());
            drop(gate);
            let (first, second) = (first.end().code(0), second.end().code(0));
            let logs = format!("{format}, {where_}:\n{}\n{}", first.log, second.log);
            assert_eq!(database.psql("SELECT count(*) FROM applied"), "1", "{logs}");
            assert_eq!(database.psql(recorded(format)), "1\n2", "{logs}");
            assert_eq!(logs.contains("released the migration lock"), *both_run, "{logs}");
        }
    }
}

#[test]
fn a_down_script_that_releases_all_locks_keeps_the_lock() {
    let database = Server::shared().database();
    let wait = format!("SELECT pg_advisory_unlock_all();\n{};\n", gate::PASS);
    let place = directory(&[
        ("1_a.sql", "CREATE TABLE a ()"),
        ("1_a.down.sql", &format!("{wait}DROP TABLE a")),
        ("2_b.sql", "CREATE TABLE b ()"),
        ("2_b.down.sql", &format!("VACUUM;\n{wait}DROP TABLE b")),
    ]);
    migrate(place.path()).database(database.url()).run().code(0);
    for left in ["1", "0"] {
        let gate = gate::close(&database);
        let rollback = premain(["rollback", "--yes", "--migrations"]).with(place.path());
        let rollback = rollback.database(database.url()).start();
        wait_for("it waits at the gate", || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event = 'PgSleep'";
            (database.psql(sql) == "1").then_some(())
        });
        let locked = "SELECT pg_try_advisory_lock(31650977343957358)";
        assert_eq!(database.psql(locked), "f");
        drop(gate);
        rollback.end().code(0);
        assert_eq!(database.psql("SELECT count(*) FROM premain_migrations"), left);
    }
}
