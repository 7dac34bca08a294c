//! What is logged about a migration while it runs.

use crate::support::postgres::{PASSWORD, Server};
use crate::support::premain::migrate;
use crate::support::{directory, gate};

/// A table, and its index that is half built for as long as the gate is closed.
fn half_an_index() -> [(&'static str, String); 2] {
    let pass = gate::PASS.replace("DO $$ BEGIN", "IF a = 1000 THEN").replace("END $$", "END IF");
    let table = format!(
        "CREATE TABLE big AS SELECT a FROM generate_series(1, 2000) a; \
         CREATE FUNCTION slow(a int) RETURNS int LANGUAGE plpgsql IMMUTABLE \
         AS $$ BEGIN {pass}; RETURN a; END $$"
    );
    [("V1__big.sql", table), ("V2__index.sql", "CREATE INDEX ON big (slow(a))".to_owned())]
}

#[test]
fn the_blocking_session_is_named_while_waiting_and_when_giving_up() {
    let database = Server::shared().database();
    database.psql("CREATE SCHEMA site; CREATE TABLE site.busy (a int)");
    let place = directory(&[("V1__alter.sql", "ALTER TABLE site.busy ADD b int")]);
    let _blocker = database.open(&format!(
        "SET application_name = 'the report'; BEGIN; SELECT count(*) FROM site.busy;\n\
         SELECT  1\nFROM site.busy WHERE '{PASSWORD}' = '';"
    ));
    let ended = migrate(place.path())
        .words(["--ddl-retries", "1"])
        .database(database.url())
        .run()
        .code(75)
        .says("migration V1__alter runs for 2s, waiting (Lock: relation), blocked by pid ")
        .says("(the report, postgres@local, idle in transaction, begun ")
        .says(": SELECT 1 FROM site.busy WHERE …)");
    // At growing intervals, however often it is tried.
    assert!((2..=3).contains(&ended.lines_with("migration V1__alter runs for")), "{}", ended.log);
    let facts = "could not get its table locks, blocked by pid ";
    assert_eq!(ended.lines_with(facts), 1, "{}", ended.log);
    ended
        .says("could not get its table locks in 2 attempts, blocked by pid ")
        .says("end the transaction that blocks it");
}

#[test]
fn the_wait_event_of_a_long_migration_is_logged() {
    let database = Server::shared().database();
    let place = directory(&[("V1__sleep.sql", gate::PASS), ("V2__t.sql", "CREATE TABLE t ()")]);
    let gate = gate::close(&database);
    let mut running = migrate(place.path()).database(database.url()).start();
    running.wait_for("migration V1__sleep runs for 2s (Timeout: PgSleep)");
    drop(gate);
    let ended = running.end().code(0);
    assert_eq!(ended.lines_with("runs for"), 1, "{}", ended.log);
}

#[test]
fn the_progress_of_an_index_build_is_logged() {
    let database = Server::shared().database();
    let place = directory(&half_an_index().each_ref().map(|(name, sql)| (*name, sql.as_str())));
    let gate = gate::close(&database);
    let mut running = migrate(place.path()).database(database.url()).start();
    running.wait_for("migration V2__index runs for 2s: index of big: ");
    running.wait_for("% (building index: scanning table, ");
    drop(gate);
    running.end().code(0);
}

#[test]
fn a_progress_bar_is_shown_at_a_terminal() {
    let database = Server::shared().database();
    let place = directory(&half_an_index().each_ref().map(|(name, sql)| (*name, sql.as_str())));
    let gate = gate::close(&database);
    let premain = migrate(place.path()).database(database.url()).env("TERM", "xterm");
    let mut running = premain.start_at_a_terminal();
    running.wait_for("[=");
    running.wait_for("% migration V2__index runs for");
    drop(gate);
    let ended = running.end().code(0);
    let told =
        ended.log.lines().filter(|line| line.starts_with("premain: migration V2__index runs"));
    assert_eq!(told.count(), 0, "a bar is enough: {}", ended.log);
    let last = ended.log.lines().last().unwrap();
    assert!(last.contains("migrations 2 applied"), "{}", ended.log);
}

#[test]
fn a_role_limited_to_one_connection_can_migrate() {
    let server = Server::shared();
    let database = server.database();
    let role = format!("single_{}", database.name);
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; GRANT CREATE ON SCHEMA public TO {role}"
    ));
    let place = directory(&[("V1__sleep.sql", gate::PASS)]);
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let gate = gate::close(&database);
    let mut running = migrate(place.path()).database(&url).start();
    running.wait_for("migration V1__sleep runs for 2s");
    drop(gate);
    let ended = running.end().code(0);
    assert_eq!(ended.lines_with("migration V1__sleep runs for 2s"), 1, "{}", ended.log);
}
