//! The cells of docs/faults.md that no other group has: the server or premain dies, phase by phase.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Running, migrate, premain};
use crate::support::{folder, wait_for};

const LOCK: &str = "SELECT pg_advisory_lock(31650977343957358);";

/// A migration that takes its time, and says so.
const SLOW: [(&str, &str); 2] = [
    (
        "1_slow.sql",
        "CREATE TABLE slow (); DO $$ BEGIN RAISE NOTICE 'halfway'; END $$; SELECT pg_sleep(1)",
    ),
    ("2_next.sql", "CREATE TABLE next ()"),
];

fn is_whole(database: &Database<'_>) {
    assert!(database.has_table("slow") && database.has_table("next"));
    let recorded = "SELECT version FROM premain_migrations ORDER BY version";
    assert_eq!(database.psql(recorded), "1\n2");
    wait_for("no session is left", || (database.sessions() == 0).then_some(()));
}

/// The server dies at once, and comes back.
fn crash(server: &mut Server) {
    server.crash();
    server.run();
}

#[test]
fn a_server_that_crashes_in_a_migration_is_awaited_and_migrated() {
    let mut server = Server::start(&["synchronous_commit=on"]);
    let name = server.database().name;
    let place = folder(&SLOW);
    let url = server.url(&name);
    let mut running = migrate(place.path()).database(&url).start();
    running.wait_for("halfway");
    crash(&mut server);
    running
        .end()
        .code(0)
        .says("migration 1 slow was interrupted, the connection was lost")
        .says("migration 1 slow is not in the history table: it was rolled back")
        .says("migrations 2 applied");
    is_whole(&server.existing(&name));
}

#[test]
fn a_server_that_crashes_while_the_lock_is_waited_for_is_awaited_and_migrated() {
    let mut server = Server::start(&["synchronous_commit=on"]);
    let name = server.database().name;
    let place = folder(&SLOW);
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
fn a_server_that_stays_away_in_a_migration_is_75_also_where_it_is_optional() {
    let mut server = Server::start(&[]);
    let name = server.database().name;
    let place = folder(&SLOW);
    let url = server.url(&name);
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
fn a_session_that_is_ended_while_it_waits_for_the_lock_is_taken_up_again() {
    let database = Server::shared().database();
    let place = folder(&SLOW);
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

/// Killed at that moment; whatever it was doing, a rerun makes it whole.
fn killed(database: &Database<'_>, moment: impl FnOnce(&mut Running), meanwhile: impl FnOnce()) {
    let place = folder(&SLOW);
    let mut running = migrate(place.path()).database(database.url()).start();
    moment(&mut running);
    running.signal(Signal::SIGKILL);
    running.end().code(137);
    meanwhile();
    migrate(place.path()).database(database.url()).run().code(0);
    is_whole(database);
}

#[test]
fn a_premain_that_is_killed_leaves_nothing_that_a_rerun_minds() {
    let database = Server::shared().database();
    killed(&database, |running| running.wait_for("halfway"), || ());

    let database = Server::shared().database();
    let holder = database.open(LOCK);
    killed(
        &database,
        |running| running.wait_for("waiting for the migration lock"),
        || drop(holder),
    );

    let database = Server::shared().database();
    killed(&database, |running| running.wait_for("migrations: "), || ());
}

/// Once the application runs, premain has no connection, and a database no say.
#[test]
fn a_server_that_dies_while_the_application_runs_is_no_business_of_premain_s() {
    let mut server = Server::start(&[]);
    let name = server.database().name;
    let place = folder(&[("1_t.sql", "CREATE TABLE t ()")]);
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
fn a_session_that_is_ended_while_a_hook_runs_does_not_run_it_again() {
    let database = Server::shared().database();
    let place = folder(&SLOW);
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

/// What docs/faults.md claims, somebody does.
#[test]
fn every_cell_is_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let mut cells = 0;
    for (module, test) in page.split('`').filter_map(|word| word.split_once("::")) {
        let found = ["database", "init"].iter().any(|group| {
            let file = root.join("tests").join(group).join(module).with_extension("rs");
            fs::read_to_string(file).is_ok_and(|code| code.contains(&format!("\nfn {test}() {{")))
        });
        assert!(found, "docs/faults.md names {module}::{test}, which is nowhere");
        cells += 1;
    }
    assert!(cells > 50, "{cells} cells");
}
