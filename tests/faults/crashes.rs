//! The server or premain dies, phase by phase; and the check that docs/faults.md names existing tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Running, migrate, premain};
use crate::support::programs::own;
use crate::support::{directory, gate, output, program, wait_for};

const LOCK: &str = "SELECT pg_advisory_lock(31650977343957358);";

/// A migration that says when it is halfway through, and goes on once the gate is open.
fn slow() -> tempfile::TempDir {
    let halfway = "CREATE TABLE slow (); DO $$ BEGIN RAISE NOTICE 'halfway'; END $$";
    let slow = format!("{halfway}; {}", gate::PASS);
    directory(&[("1_slow.sql", &slow), ("2_next.sql", "CREATE TABLE next ()")])
}

fn is_whole(database: &Database<'_>) {
    assert!(database.has_table("slow") && database.has_table("next"));
    let recorded = "SELECT version FROM premain_migrations ORDER BY version";
    assert_eq!(database.psql(recorded), "1\n2");
    wait_for("no session is left", || (database.sessions() == 0).then_some(()));
}

/// The server crashes, and starts again.
fn crash(server: &mut Server) {
    server.crash();
    server.run();
}

#[test]
fn a_server_crash_during_a_migration_is_recovered_from() {
    let mut server = Server::start(&["synchronous_commit=on"]);
    let name = server.database().name;
    let place = slow();
    let url = server.url(&name);
    let gate = gate::close(&server.existing(&name));
    let mut running = migrate(place.path()).database(&url).start();
    running.wait_for("halfway");
    // The gate opens as the server dies.
    crash(&mut server);
    drop(gate);
    running
        .end()
        .code(0)
        .says("migration 1_slow was interrupted, the connection was lost")
        .says("migration 1_slow is not in the history table: it was rolled back")
        .says("migrations 2 applied");
    is_whole(&server.existing(&name));
}

#[test]
fn a_server_crash_while_waiting_for_the_lock_is_recovered_from() {
    let mut server = Server::start(&["synchronous_commit=on"]);
    let name = server.database().name;
    let place = slow();
    let url = server.url(&name);
    let holder = server.existing(&name).open(LOCK);
    let mut running = migrate(place.path()).database(&url).start();
    running.wait_for("waiting for the migration lock");
    crash(&mut server);
    drop(holder);
    running.end().code(0).says("connecting again").says("migrations 2 applied");
    is_whole(&server.existing(&name));
}

#[test]
fn a_server_that_stays_down_during_a_migration_is_75_even_if_optional() {
    let mut server = Server::start(&[]);
    let name = server.database().name;
    let place = slow();
    let url = server.url(&name);
    let _gate = gate::close(&server.existing(&name));
    let mut running = premain(["--db-optional", "--wait-timeout", "1s", "--migrations"])
        .with(place.path())
        .words(["echo", "started"])
        .database(&url)
        .start();
    running.wait_for("halfway");
    server.crash();
    let ended =
        running.end().code(75).says("was not ready within").says("run again, which is safe");
    assert_eq!(ended.output, "");
}

#[test]
fn a_session_terminated_while_waiting_for_the_lock_reconnects() {
    let database = Server::shared().database();
    let place = slow();
    let mut holder = database.open(LOCK);
    let mut running = migrate(place.path()).database(database.url()).start();
    running.wait_for("waiting for the migration lock");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'premain'";
    assert_eq!(database.psql(end), "t");
    running.wait_for("connecting again");
    holder.send("SELECT pg_advisory_unlock_all();");
    drop(holder);
    running.end().code(0);
    is_whole(&database);
}

/// premain is killed at that moment; a rerun applies what is missing.
fn killed(database: &Database<'_>, moment: impl FnOnce(&mut Running), meanwhile: impl FnOnce()) {
    let place = slow();
    let mut running = migrate(place.path()).database(database.url()).start();
    moment(&mut running);
    running.signal(Signal::SIGKILL);
    running.end().code(137);
    meanwhile();
    migrate(place.path()).database(database.url()).run().code(0);
    is_whole(database);
}

#[test]
fn a_rerun_succeeds_after_premain_was_killed() {
    let database = Server::shared().database();
    let gate = gate::close(&database);
    killed(&database, |running| running.wait_for("halfway"), || drop(gate));

    let database = Server::shared().database();
    let holder = database.open(LOCK);
    killed(
        &database,
        |running| running.wait_for("waiting for the migration lock"),
        || drop(holder),
    );

    let database = Server::shared().database();
    let gate = gate::close(&database);
    killed(&database, |running| running.wait_for("migrations: "), || drop(gate));
}

/// Once the application runs, premain has no connection any more.
#[test]
fn a_server_crash_does_not_affect_the_running_application() {
    let mut server = Server::start(&[]);
    let name = server.database().name;
    let place = directory(&[("1_t.sql", "CREATE TABLE t ()")]);
    let url = server.url(&name);
    let mut running = premain(["--migrations"])
        .with(place.path())
        .words(["--", "sh", "-c", "echo up >&2; sleep 1000 & wait $!"])
        .database(&url)
        .start();
    running.wait_for("up");
    assert_eq!(server.existing(&name).sessions(), 0);
    server.crash();
    assert!(!running.has_ended());
    running.signal(Signal::SIGTERM);
    running.end().code(143);
}

#[test]
fn a_session_terminated_during_a_hook_does_not_repeat_the_hook() {
    let database = Server::shared().database();
    let place = slow();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    let hook = serde_json::json!(["sh", "-c", format!("echo backup; psql -Atc \"{end}\"")]);
    let ended = migrate(place.path())
        .words(["--before-migrate", &hook.to_string()])
        .database(database.url())
        .run()
        .code(0)
        .says("connecting again");
    assert_eq!(ended.lines_with("before-migrate: backup"), 1, "{}", ended.log);
    is_whole(&database);
}

/// Each test that docs/faults.md names exists.
#[test]
fn every_test_named_in_the_faults_page_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let mut cells = 0;
    for (module, test) in page.split('`').filter_map(|word| word.split_once("::")) {
        let groups = ["boot", "commands", "faults", "formats", "init", "migrate"];
        let found = groups.iter().any(|group| {
            let file = root.join("tests").join(group).join(module).with_extension("rs");
            fs::read_to_string(file).is_ok_and(|code| code.contains(&format!("\nfn {test}() {{")))
        });
        assert!(found, "docs/faults.md names {module}::{test}, which is nowhere");
        cells += 1;
    }
    assert!(cells > 50, "{cells} cells");
}

/// A small file system.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: &str) -> Disk {
        let disk = Disk(tempfile::tempdir().unwrap());
        disk.mount(&format!("size={size}"));
        own(disk.0.path());
        disk
    }

    fn mount(&self, options: &str) {
        let mut command = Command::new(program("mount", "mount"));
        command.args(["-t", "tmpfs", "-o", options, "premain"]).arg(self.0.path());
        assert!(output(&mut command).status.success(), "only root may mount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        output(Command::new("umount").arg("--lazy").arg(self.0.path()));
    }
}

#[test]
fn a_full_disk_keeps_nothing_and_a_rerun_with_space_succeeds() {
    let disk = Disk::of("4m");
    let server = Server::start(&[]);
    let database = server.database();
    let path = disk.0.path().display();
    database.psql(&format!("CREATE TABLESPACE small LOCATION '{path}'"));
    let filling = "CREATE TABLE b (n int) TABLESPACE small;\n\
                   INSERT INTO b SELECT generate_series(1, 1000000)";
    let place = directory(&[("1_a.sql", "CREATE TABLE a ()"), ("2_b.sql", filling)]);
    let run = || migrate(place.path()).database(database.url()).run();
    run()
        .code(75)
        .says("2_b.sql:2:1: could not extend file")
        .says("No space left on device (53100 disk_full)")
        .says("Check free disk space")
        .says("nothing of migration 2_b was kept; make room on the server's disk, and start again")
        .says("1 of 2 migrations were applied before it: 1_a");
    assert!(database.has_table("a") && !database.has_table("b"));
    disk.mount("remount,size=200m");
    run().code(0).says("migration 2_b applied");
}

#[test]
fn a_cancelled_migration_is_not_blamed_on_its_file() {
    let database = Server::shared().database();
    let place = slow();
    fs::write(place.path().join("1_slow.sql"), "CREATE TABLE slow (); SELECT pg_sleep(1000)")
        .unwrap();
    let running = migrate(place.path()).database(database.url()).start();
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                  WHERE datname = current_database() AND wait_event = 'PgSleep'";
    wait_for("it is cancelled", || (database.psql(cancel) == "1").then_some(()));
    running
        .end()
        .code(76)
        .says("canceling statement due to user request (57014 query_canceled)")
        .says("nothing of migration 1_slow was kept; find out who or what cancelled it");
    assert!(!database.has_table("slow"));
}
