//! The log: its lines, levels and formats.

use std::process::Command;

use serde_json::Value;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, premain};
use crate::support::{directory, output, program};

const FILES: [(&str, &str); 3] = [
    ("V1__a.sql", "CREATE TABLE a ()"),
    ("V2__b.sql", "CREATE TABLE b ()"),
    ("V3__c.sql", "DO $$ BEGIN RAISE NOTICE 'halfway'; END $$"),
];

fn boot(place: &tempfile::TempDir, database: &Database<'_>) -> Premain {
    premain(["--migrations"]).with(place.path()).words(["echo", "started"]).database(database.url())
}

/// `text` with every number replaced by `N`, and what is not the same twice by its name.
fn without_numbers(text: &str, place: &tempfile::TempDir) -> String {
    let text = text.replace(&place.path().display().to_string(), "DIRECTORY");
    let mut plain = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            plain.push(character);
        } else if !plain.ends_with('N') {
            plain.push('N');
        }
    }
    // 999 ms may be 1 s here, and half a second there.
    plain.replace("N.Ns", "Nms").replace("Ns", "Nms")
}

#[test]
fn a_start_is_logged_step_by_step() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let ended = boot(&place, &database).run().code(0);
    assert_eq!(ended.output, "started\n", "stdout is the application's alone");
    assert_eq!(
        without_numbers(&ended.log, &place),
        "premain: migrations: DIRECTORY (refinery, N files), history table refinery_schema_history\n\
         premain: migrations: N of N pending\n\
         premain: migration VN__a applied in Nms\n\
         premain: migration VN__b applied in Nms\n\
         premain: migration: the server notes: halfway\n\
         premain: migration VN__c applied in Nms\n\
         premain: wait Nms (N attempt), migrations N applied in Nms, starting echo (pid N)\n"
    );
    let again = boot(&place, &database).run().code(0);
    assert_eq!(
        without_numbers(&again.log, &place),
        "premain: migrations: DIRECTORY (refinery, N files), history table refinery_schema_history\n\
         premain: wait Nms (N attempt), migrations none pending (N applied before), \
         starting echo (pid N)\n"
    );
}

#[test]
fn the_logged_pid_is_the_applications() {
    let ended = premain(["sh", "-c", "echo $$"]).run().code(0);
    let pid = ended.output.trim().to_owned();
    ended.says(&format!("starting sh (pid {pid})"));
}

#[test]
fn grep_migration_finds_every_line_about_a_failure() {
    let database = Server::shared().database();
    let place = directory(&[FILES[0], ("V2__wrong.sql", "SELECT\n  nonsense;"), FILES[2]]);
    let ended = boot(&place, &database).run().code(76);
    assert_eq!(ended.output, "");
    let lines = ended.log.lines().filter(|line| line.contains("migration"));
    let story: Vec<_> = lines.map(|line| without_numbers(line, &place)).collect();
    assert_eq!(
        story,
        [
            "premain: migrations: DIRECTORY (refinery, N files), history table refinery_schema_history",
            "premain: migrations: N of N pending",
            "premain: migration VN__a applied in Nms",
            "premain: error: migration VN__wrong failed at DIRECTORY/VN__wrong.sql:N:N: \
             column \"nonsense\" does not exist (N undefined_column)",
            "premain: nothing of migration VN__wrong was kept; correct the file and deploy it again",
            "premain: N of N migrations were applied before it: VN__a",
        ]
    );
}

#[test]
fn every_json_line_has_time_level_and_message() {
    let mut server = Server::create(&[]);
    let place = directory(&[FILES[0], ("V2__wrong.sql", "SELECT\n  nonsense;")]);
    let mut running = premain(["--log", "trace", "--log-format", "json", "--migrations"])
        .with(place.path())
        .with("true")
        .env("PREMAIN_NONSENSE", "1")
        .database(server.url("postgres"))
        .start();
    running.wait_for("connection refused");
    server.run();
    let ended = running.end().code(76);
    let lines: Vec<Value> =
        ended.log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert!(line["message"].is_string(), "{line}");
    }
    let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels.first(), Some(&"warn"));
    let error = levels.iter().position(|level| *level == "error").unwrap();
    let last = lines[error]["message"].as_str().unwrap();
    assert!(last.lines().count() > 3, "one event, one line, the caret in it: {last}");
    // Configuration errors use the requested format, too.
    let ended = premain(["true"]).env("PREMAIN_LOG_FORMAT", "json").database("x").run().code(78);
    let problem: Value = serde_json::from_str(ended.log.trim_end()).expect(&ended.log);
    assert!(problem["message"].as_str().unwrap().starts_with("DATABASE_URL "), "{problem}");
    let ended = premain(["--nonsense"]).env("PREMAIN_LOG_FORMAT", "json").run().code(64);
    let problem: Value = serde_json::from_str(ended.log.trim_end()).expect(&ended.log);
    assert!(problem["message"].as_str().unwrap().contains("--nonsense"), "{problem}");
}

#[test]
fn each_level_prints_only_its_messages() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let quiet = |level| boot(&place, &database).env("PREMAIN_LOG", level).run().code(0).log;
    assert_eq!(quiet("error"), "", "on success there is nothing to say");
    assert_eq!(quiet("warn"), "");
    let older = directory(&FILES[..2]);
    let warned = boot(&older, &database).env("PREMAIN_LOG", "warn").run().code(0).log;
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(warned.starts_with("premain: warning: "), "{warned}");
    assert_eq!(boot(&older, &database).env("PREMAIN_LOG", "error").run().code(0).log, "");
}

#[test]
fn stdout_belongs_to_the_application_at_every_log_level() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let ended = boot(&place, &database).env("PREMAIN_LOG", "trace").run().code(0);
    assert_eq!(ended.output, "started\n");
    assert_eq!(premain(["wait"]).database(database.url()).run().code(0).output, "");
    let failed = premain(["--wait-timeout", "50ms", "echo", "started"]);
    assert_eq!(failed.database("postgres://u@127.0.0.1:1/d").run().code(69).output, "");
}

#[test]
fn colours_are_used_on_terminals_unless_no_color_is_set() {
    // `script` gives premain a terminal for all of its streams.
    let shown = |environment: &[(&str, &str)]| {
        let premain = env!("CARGO_BIN_EXE_premain");
        let mut command = Command::new(program("script", "bsdutils"));
        command
            .args(["-qec", &format!("{premain} no-such-program"), "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(environment.iter().copied());
        let output = output(&mut command);
        String::from_utf8(output.stdout).unwrap()
    };
    let coloured = shown(&[]);
    assert!(coloured.contains("\x1b[1;31merror: \x1b[0m"), "{coloured:?}");
    let plain = shown(&[("NO_COLOR", "1")]);
    assert!(plain.contains("premain: error: ") && !plain.contains('\x1b'), "{plain:?}");
    assert!(shown(&[("PREMAIN_LOG_FORMAT", "json")]).contains("\"level\":\"error\""));
    premain(["no-such-program"]).run().code(127).says("premain: error: ").says_nothing_of("\x1b");
}
