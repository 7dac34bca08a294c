//! What is not one transaction, and stops halfway: whatever stops it, in every format and in both directions, nothing is lost
//! or repeated by further starts, they say what is known, and `premain resolve` leads on.

use nix::sys::signal::Signal;

use crate::support::layout::{self, FORMATS, WITH_DOWN, history_table, migrations, title};
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, Premain, Running, migrate, premain};
use crate::support::{directory, gate, wait_for};

/// What ends the script behind its first statement, which is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Error,
    Kill,
    /// The server ends the session.
    Lost,
    /// A trigger swallows the record.
    Record,
}

const ENDS: [End; 4] = [End::Error, End::Kill, End::Lost, End::Record];

/// Scripts that are not one transaction: their first statement leaves a row with `n`, and is kept.
fn scripts(n: i32, end: End, format: &str) -> [String; 2] {
    let then = match end {
        End::Error => "SELECT nosuch".to_owned(),
        End::Kill | End::Lost => gate::PASS.to_owned(),
        End::Record => format!(
            "CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON {} \
             FOR EACH ROW EXECUTE FUNCTION swallow()",
            history_table(format)
        ),
    };
    [
        format!("INSERT INTO a VALUES ({n});\nVACUUM a;\n{then};"),
        format!("INSERT INTO a VALUES ({n});\nCOMMIT;\n{then};"),
    ]
}

const FIRST: &str = "CREATE TABLE a (n int); \
    CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;";

struct Case<'a> {
    format: &'static str,
    end: End,
    place: tempfile::TempDir,
    database: Database<'a>,
}

impl Case<'_> {
    fn premain(&self, words: &[&str]) -> Premain {
        premain(words)
            .words(["--format", self.format, "--migrations"])
            .with(self.place.path())
            .database(self.database.url())
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.premain(words).run()
    }

    /// Runs until the script stops halfway.
    fn stops_halfway(&self, words: &[&str]) -> Ended {
        let gate = gate::close(&self.database);
        let mut running = self.premain(words).start();
        if matches!(self.end, End::Kill | End::Lost) {
            self.waits_at_the_gate(&mut running);
        }
        if self.end == End::Kill {
            running.signal(Signal::SIGKILL);
        }
        if matches!(self.end, End::Kill | End::Lost) {
            self.database.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'premain' AND wait_event = 'PgSleep'",
            );
        }
        let ended = running.end();
        drop(gate);
        if self.end == End::Record {
            let table = history_table(self.format);
            self.database.psql(&format!("DROP TRIGGER IF EXISTS swallow ON {table}"));
        }
        ended
    }

    fn waits_at_the_gate(&self, running: &mut Running) {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'premain' AND wait_event = 'PgSleep'";
        wait_for("it waits at the gate", || {
            let ended = running.has_ended();
            assert!(!ended, "{} {:?}: {}", self.format, self.end, running.log());
            (self.database.psql(waits) == "1").then_some(())
        });
    }

    fn rows(&self) -> String {
        self.database.psql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM a")
    }

    fn recorded(&self) -> String {
        self.database.psql(layout::recorded(self.format)).replace('\n', " ")
    }

    /// Further starts change nothing and say what is known.
    #[track_caller]
    fn is_stopped(&self, what: &str, rows: &str) {
        for words in [&["migrate"][..], &["rollback", "--yes"]] {
            self.run(words)
                .code(65)
                .says(&format!("migration {} {what}", title(self.format, 2)))
                .says("premain resolve --applied")
                .says("premain resolve --rolled-back");
        }
        let status = self.run(&["status", "--exit-code", "--output", "json"]).code(2);
        assert!(status.output.contains("\"failed\""), "{}", status.output);
        assert_eq!(self.rows(), rows, "{} {:?}", self.format, self.end);
    }

    /// Nothing is left of the mark.
    #[track_caller]
    fn is_as_the_tool_has_it(&self, rows: &str, recorded: &str) {
        let what = format!("{} {:?}", self.format, self.end);
        assert_eq!(self.rows(), rows, "{what}");
        assert_eq!(self.recorded(), recorded, "{what}");
        let tables = "SELECT count(*) FROM pg_class WHERE relname = 'premain_unfinished'";
        assert_eq!(self.database.psql(tables), "0", "{what}");
        assert_eq!(self.run(&["status", "--exit-code"]).code, 0, "{what}");
    }
}

/// Runs `test` for each kind of script and each end of it, for these formats at once.
fn for_each(formats: &[&'static str], test: impl Fn(&'static str, End, usize) + Sync) {
    std::thread::scope(|scope| {
        for format in formats {
            let test = &test;
            scope.spawn(move || {
                for (end, kind) in ENDS.into_iter().flat_map(|end| [(end, 0), (end, 1)]) {
                    test(format, end, kind);
                }
            });
        }
    });
}

#[test]
fn an_up_migration_that_stopped_halfway_stops_every_start_until_it_is_resolved() {
    for_each(&FORMATS, |format, end, kind| {
        let script = &scripts(2, end, format)[kind];
        let place = migrations(format, 3, |n| match n {
            1 => FIRST.to_owned(),
            2 => script.clone(),
            _ => "INSERT INTO a VALUES (3)".to_owned(),
        });
        let case = Case { format, end, place, database: Server::shared().database() };
        let ended = case.stops_halfway(&["migrate"]);
        assert_eq!(ended.code, if end == End::Kill { 137 } else { 65 }, "{format} {}", ended.log);
        case.is_stopped("failed halfway: it was started on", "2");
        let title = title(format, 2);
        // Each kind is resolved in both ways.
        if (end as usize + kind).is_multiple_of(2) {
            case.run(&["resolve", "--applied", &title]).code(0).says("recorded as applied");
        } else {
            case.database.psql("DELETE FROM a");
            let file = case.place.path().join(layout::file_name(format, 2));
            std::fs::write(file, layout::marked(format, "INSERT INTO a VALUES (2)")).unwrap();
            case.run(&["resolve", "--rolled-back", &title]).code(0).says("is pending again");
        }
        case.run(&["migrate"]).code(0);
        case.is_as_the_tool_has_it("2 3", "1 2 3");
    });
}

#[test]
fn a_down_migration_that_stopped_halfway_stops_every_start_until_it_is_resolved() {
    for_each(&WITH_DOWN, |format, end, kind| {
        let place = migrations(format, 2, |n| match n {
            1 => FIRST.to_owned(),
            _ => "INSERT INTO a VALUES (2)".to_owned(),
        });
        layout::add_down(format, place.path(), 2, &scripts(-2, end, format)[kind]);
        let case = Case { format, end, place, database: Server::shared().database() };
        case.run(&["migrate"]).code(0);
        let ended = case.stops_halfway(&["rollback", "--yes"]);
        let expected = match end {
            End::Kill => 137,
            End::Lost => 75,
            End::Error | End::Record => 65,
        };
        assert_eq!(ended.code, expected, "{format} {end:?} {}", ended.log);
        case.is_stopped("is rolled back only halfway: it was started on", "-2 2");
        let title = title(format, 2);
        if (end as usize + kind).is_multiple_of(2) {
            case.run(&["resolve", "--applied", &title]).code(0);
            case.run(&["migrate"]).code(0).says("none pending");
            case.is_as_the_tool_has_it("-2 2", "1 2");
        } else {
            case.run(&["resolve", "--rolled-back", &title]).code(0).says("is pending again");
            case.run(&["migrate"]).code(0).says("migrations 1 applied");
            case.is_as_the_tool_has_it("-2 2 2", "1 2");
        }
    });
}

const SWALLOW: &str =
    "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;";

#[test]
fn a_record_that_a_trigger_or_rule_swallows_is_an_error_in_every_format() {
    for format in FORMATS {
        let database = Server::shared().database();
        let sql = |n: usize| match n {
            1 => SWALLOW.to_owned(),
            _ => format!("CREATE TABLE t{n} ()"),
        };
        let run = |words: &[&str], count: usize| {
            let place = migrations(format, count, sql);
            let command = premain(words).words(["--format", format, "--migrations"]);
            command.with(place.path()).database(database.url()).run()
        };
        run(&["migrate"], 1).code(0);
        let (table, second) = (history_table(format), title(format, 2));
        let recorded = database.psql(layout::recorded(format));
        for swallow in [
            format!(
                "DROP RULE IF EXISTS swallow ON {table}; CREATE TRIGGER swallow BEFORE INSERT OR UPDATE ON {table} \
                 FOR EACH ROW EXECUTE FUNCTION swallow()"
            ),
            format!(
                "DROP TRIGGER swallow ON {table}; CREATE RULE swallow AS ON INSERT TO {table} DO INSTEAD NOTHING"
            ),
        ] {
            database.psql(&format!("SET client_min_messages = warning; {swallow}"));
            for words in [&["migrate"][..], &["baseline"], &["resolve", "--applied", &second]] {
                let ended = run(words, 2).code(76);
                assert!(ended.log.contains("rule"), "{format} {words:?}: {}", ended.log);
            }
            let ended = run(&["migrate"], 2).says("because of a trigger or rule on");
            assert!(ended.log.contains(table), "{format}: {}", ended.log);
            assert!(!database.has_table("t2"), "{format}");
            assert_eq!(database.psql(layout::recorded(format)), recorded, "{format}");
        }
        database.psql(&format!("DROP RULE swallow ON {table}"));
        run(&["migrate"], 2).code(0).says("migrations 1 applied");
    }
}

#[test]
fn a_swallowed_removal_of_a_record_rolls_the_down_migration_back() {
    for format in WITH_DOWN {
        let database = Server::shared().database();
        let place = migrations(format, 2, |n| {
            format!("{SWALLOW} DROP FUNCTION swallow(); CREATE TABLE t{n} ()")
        });
        layout::add_down(format, place.path(), 2, "DROP TABLE t2");
        let run = |words: &[&str]| {
            let command = premain(words).words(["--format", format, "--migrations"]);
            command.with(place.path()).database(database.url()).run()
        };
        run(&["migrate"]).code(0);
        database.psql(&format!(
            "{SWALLOW} CREATE TRIGGER swallow BEFORE INSERT OR UPDATE OR DELETE ON {} \
             FOR EACH ROW EXECUTE FUNCTION swallow()",
            history_table(format)
        ));
        run(&["rollback", "--yes"]).code(76).says("because of a trigger or rule on it");
        assert!(database.has_table("t2"), "{format}");
    }
}

#[test]
fn an_update_whose_connection_was_lost_is_not_repeated() {
    let database = Server::shared().database();
    let place = directory(&[
        ("V1__a.sql", "CREATE TABLE account (balance int); INSERT INTO account VALUES (100)"),
        ("V2__b.sql", "-- premain: no-transaction\nUPDATE account SET balance = balance + 100"),
    ]);
    migrate(
        directory(&[(
            "V1__a.sql",
            "CREATE TABLE account (balance int); INSERT INTO account VALUES (100)",
        )])
        .path(),
    )
    .database(database.url())
    .run()
    .code(0);
    // The UPDATE is committed, and the connection lost with its record.
    database.psql(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$; \
         CREATE TRIGGER die BEFORE INSERT ON refinery_schema_history FOR EACH ROW EXECUTE FUNCTION die()",
    );
    for _ in 0..3 {
        migrate(place.path())
            .database(database.url())
            .run()
            .code(65)
            .says("migration V2__b failed halfway")
            .says("its first statement may have been kept")
            .says_nothing_of("rolled back;");
        assert_eq!(database.psql("SELECT balance FROM account"), "200");
    }
}

#[test]
fn a_procedure_that_commits_is_not_called_again_after_a_lock_timeout() {
    let database = Server::shared().database();
    let files = [
        (
            "1_a.sql",
            "CREATE TABLE a (n int); CREATE TABLE locked (); \
             CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO a VALUES (1); COMMIT; LOCK TABLE locked; END $$",
        ),
        ("2_b.sql", "-- premain: no-transaction\nCALL p()"),
    ];
    migrate(directory(&files[..1]).path()).database(database.url()).run().code(0);
    let place = directory(&files);
    let run = || {
        let words = ["--ddl-lock-timeout", "20ms", "--ddl-retries", "5"];
        migrate(place.path()).words(words).database(database.url()).run()
    };
    let blocker = database.open("BEGIN; LOCK TABLE locked;");
    run()
        .code(65)
        .says("could not get its table locks in 1 attempts")
        .says("0 of its 1 statements were kept, and the next one may have been kept in part");
    drop(blocker);
    run().code(65).says("migration 2_b failed halfway");
    assert_eq!(database.psql("SELECT n FROM a"), "1");
}

#[test]
fn a_statement_that_is_rejected_before_it_runs_keeps_nothing() {
    let database = Server::shared().database();
    for sql in ["CALL nosuch()", "UPDATE nosuch SET a = 1", "DROP INDEX CONCURRENTLY nosuch"] {
        let sql = format!("-- premain: no-transaction\n{sql}");
        let place = directory(&[("1_a.sql", sql.as_str())]);
        migrate(place.path())
            .database(database.url())
            .run()
            .code(76)
            .says("nothing of migration 1_a was kept");
        assert_eq!(database.psql("SELECT count(*) FROM premain_migrations"), "0");
        assert!(!database.has_table("premain_unfinished"));
    }
}

#[test]
fn scripts_that_undo_themselves_stop_before_anything_runs() {
    for (sql, says) in [
        ("CREATE TABLE a ();\nROLLBACK", "2:1: ROLLBACK is the last statement"),
        ("CREATE TABLE a ();\nROLLBACK AND CHAIN", "2:1: ROLLBACK is the last statement"),
        ("VACUUM; BEGIN; CREATE TABLE a ();\nABORT", "2:1: ROLLBACK is the last statement"),
        ("CREATE TABLE a ();\nPREPARE TRANSACTION 'x'", "2:1: PREPARE TRANSACTION leaves"),
    ] {
        let database = Server::shared().database();
        let place = directory(&[("1_a.up.sql", sql)]);
        let ended = migrate(place.path()).database(database.url()).run().code(65);
        assert!(ended.log.contains(says), "{sql}: {}", ended.log);
        assert!(!database.has_table("a"), "{sql}");
        let place = directory(&[("1_a.up.sql", "SELECT 1"), ("1_a.down.sql", sql)]);
        migrate(place.path()).database(database.url()).run().code(0);
        premain(["rollback", "--yes", "--migrations"])
            .with(place.path())
            .database(database.url())
            .run()
            .code(65)
            .says("no migration was run");
        assert_eq!(database.psql("SELECT version FROM premain_migrations"), "1");
    }
}

#[test]
fn a_rollback_among_drizzle_files_of_one_transaction_stops_before_anything_runs() {
    let entries = r#"{"entries": [{"when": 3, "tag": "0000_a"}, {"when": 2, "tag": "0001_b"}]}"#;
    let database = Server::shared().database();
    let place = directory(&[
        ("meta/_journal.json", entries),
        ("0000_a.sql", "CREATE TABLE a ()"),
        ("0001_b.sql", "ROLLBACK;\nCREATE TABLE b ()"),
    ]);
    migrate(place.path())
        .database(database.url())
        .run()
        .code(65)
        .says("it cannot run in one transaction with the others");
    assert!(!database.has_table("a") && !database.has_table("b"));
}

#[test]
fn what_and_chain_and_rollback_keep_is_reported_as_it_is() {
    let database = Server::shared().database();
    let sql = "CREATE TABLE a (n int);\nCOMMIT AND CHAIN;\nINSERT INTO a VALUES (1);\nROLLBACK;\nBEGIN;\n\
               INSERT INTO a VALUES (2);\nCOMMIT AND CHAIN;\nINSERT INTO a VALUES (3);";
    let place = directory(&[
        ("1_a.sql", sql),
        (
            "2_b.sql",
            "VACUUM a; BEGIN; INSERT INTO a VALUES (4); \
        COMMIT AND CHAIN; INSERT INTO a VALUES (5); ROLLBACK; SELECT nosuch",
        ),
    ]);
    migrate(place.path())
        .database(database.url())
        .run()
        .code(65)
        .says("migration 1_a applied")
        .says("4 of its 7 statements were kept")
        .says("kept: statement 4")
        .says_nothing_of("kept: statement 5");
    assert_eq!(database.psql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM a"), "2 3 4");
}
