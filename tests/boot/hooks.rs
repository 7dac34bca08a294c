//! Hooks: before the directory is read, around migrations, before the application.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Premain, migrate, premain};
use crate::support::{directory, executables, layout};

const FILES: [(&str, &str); 2] =
    [("V1__t.sql", "CREATE TABLE t ()"), ("V2__u.sql", "CREATE TABLE u ()")];

/// A query for hooks: how many advisory locks are held. The hook knows the database from its environment.
const LOCKS: &str = "select count(*) from pg_locks join pg_database d on d.oid = database \
                     where locktype = 'advisory' and granted and datname = current_database()";

/// premain with a directory of migrations and an application that says so.
fn start(place: &tempfile::TempDir, database: &Database<'_>, options: &[&str]) -> Premain {
    premain(["--migrations"])
        .with(place.path())
        .words(options)
        .words(["echo", "started"])
        .database(database.url())
}

/// A script for a hook.
fn shell(script: &str) -> String {
    serde_json::json!(["sh", "-c", script]).to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn before_migrate_runs_under_the_lock_when_something_is_pending() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let hook = shell(&format!(
        r#"echo pending $PREMAIN_PENDING; psql -Atc "{LOCKS}" -c "select to_regclass('t')""#
    ));
    let run = || start(&place, &database, &["--before-migrate", &hook]).run().code(0);
    let first = run();
    let lines: Vec<_> = first.log.lines().collect();
    let at = |text: &str| lines.iter().position(|line| line.starts_with(text)).expect(text);
    let runs = at("premain: migrations: running --before-migrate (sh) (pid ");
    assert_eq!(
        lines[runs + 1..runs + 4],
        ["before-migrate: pending 2", "before-migrate: 1", "before-migrate: "]
    );
    assert!(lines[runs + 4].starts_with("premain: migrations: --before-migrate (sh) done in "));
    assert!(at("premain: migration V1__t applied in ") > runs);
    assert_eq!(first.output, "started\n", "what a hook prints is the log's, not the application's");
    run().says("none pending").says_nothing_of("before-migrate");
}

#[test]
fn a_backup_from_before_a_failure_is_not_replaced_at_the_next_starts() {
    for format in ["drizzle", "sql"] {
        let database = Server::shared().database();
        let place = |third: &'static str| {
            layout::migrations(format, 3, |n| match n {
                3 => third.to_owned(),
                n => format!("CREATE TABLE t{n} ()"),
            })
        };
        let backups = tempfile::NamedTempFile::new().unwrap();
        let path = backups.path().display();
        let failing = shell(&format!("echo failed >> {path}; exit 1"));
        let backup = shell(&format!("pg_dump > {path}.sql && echo $PREMAIN_PENDING >> {path}"));
        let run = |place: &tempfile::TempDir, hook: &str| {
            start(place, &database, &["--format", format, "--before-migrate", hook]).run()
        };
        let broken = place("TABLE nothing");
        for _ in 0..2 {
            run(&broken, &failing).code(74);
        }
        run(&broken, &backup).code(76);
        for _ in 0..3 {
            run(&broken, &backup).code(76).says("--before-migrate does not run again: it ran at ");
        }
        assert_eq!(read(backups.path()), "failed\nfailed\n3\n", "{format}");
        let corrected = place("CREATE TABLE t3 ()");
        run(&corrected, &backup).code(0);
        assert_eq!(read(backups.path()), "failed\nfailed\n3\n1\n", "{format}");
        let dump = read(Path::new(&format!("{path}.sql")));
        assert!(dump.contains("t2") && !dump.contains("premain_before_migrate"), "{dump}");
        assert!(!database.dump().contains("premain_before_migrate"));
    }
}

#[test]
fn a_role_that_may_not_create_tables_migrates_and_the_hook_is_not_remembered() {
    let database = Server::shared().database();
    migrate(directory(&FILES[..1]).path()).database(database.url()).run().code(0);
    let role = format!("limited_{}", database.name);
    database.psql(&format!(
        "REVOKE CREATE ON SCHEMA public FROM public; CREATE ROLE {role} LOGIN; \
         GRANT ALL ON t, refinery_schema_history TO {role}"
    ));
    let place = directory(&[FILES[0], ("V2__u.sql", "DELETE FROM t")]);
    migrate(place.path())
        .words(["--before-migrate", "true"])
        .database(database.url().replace("postgres@", &format!("{role}@")))
        .run()
        .code(0)
        .says("cannot record that --before-migrate has run (permission denied for schema public)")
        .says("migration V2__u applied");
}

#[test]
fn after_migrate_runs_under_the_lock_at_every_start() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let hook = shell(&format!(
        r#"echo applied $PREMAIN_APPLIED; psql -Atc "{LOCKS}" -c "select count(*) from t, u""#
    ));
    let run = || start(&place, &database, &["--after-migrate", &hook]).run().code(0);
    run().says("after-migrate: applied 2\nafter-migrate: 1\nafter-migrate: 0\n");
    run().says("after-migrate: applied 0\nafter-migrate: 1\nafter-migrate: 0\n");
    let nothing = ["--migrations", "none", "--after-migrate", "echo seeding"];
    let ended = premain(nothing).with("true").database(database.url()).run();
    ended.code(0).says("after-migrate: seeding").says("no migrations");
}

#[test]
fn ten_replicas_back_up_once_and_seed_one_at_a_time() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let notes = tempfile::tempdir().unwrap();
    let note = |name: &str| notes.path().join(name).display().to_string();
    let before = format!("sh -c 'echo backup >> {}'", note("before"));
    let after =
        format!("sh -c 'echo begin >> {0}; psql -c \"select 1\"; echo end >> {0}'", note("after"));
    let options = ["--before-migrate", &before, "--after-migrate", &after];
    let replicas: Vec<_> = (0..10).map(|_| start(&place, &database, &options).start()).collect();
    for replica in replicas {
        replica.end().code(0);
    }
    assert_eq!(read(&notes.path().join("before")), "backup\n");
    assert_eq!(read(&notes.path().join("after")), "begin\nend\n".repeat(10));
}

#[test]
fn generate_runs_before_the_directory_is_read() {
    let database = Server::shared().database();
    let place = tempfile::tempdir().unwrap();
    let generate =
        "sh -c 'mkdir -p migrations && echo \"CREATE TABLE made ()\" > migrations/V1__made.sql'";
    premain(["migrate", "--generate", generate])
        .within(place.path())
        .database(database.url())
        .run()
        .code(0)
        .says("migrations: running --generate (sh)")
        .says("migration V1__made applied in");
    assert!(database.has_table("made"));
}

#[test]
fn a_failing_generate_stops_the_start_before_the_wait() {
    premain(["--generate", "false", "echo", "started"])
        .database("postgres://x@127.0.0.1:1/x")
        .run()
        .code(74)
        .says("error: --generate (false) failed: it exited with status 1; nothing was migrated")
        .says_nothing_of("waiting for");
}

#[test]
fn a_failing_hook_stops_the_start_and_says_how_it_failed() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let plain = directory(&[("plain", "no program")]);
    let plain = plain.path().join("plain").display().to_string();
    for (hook, how) in [
        ("sh -c 'exit 3'", "(sh) failed: it exited with status 3;".to_owned()),
        ("sh -c 'kill -9 $$'", "(sh) failed: it was killed by SIGKILL (signal 9);".to_owned()),
        (
            "no-such-program x",
            "did not start: cannot find \"no-such-program\": no directory of PATH".to_owned(),
        ),
        (
            &plain,
            format!(
                "did not start: cannot execute {plain}: Permission denied: it lacks the permission to execute: chmod +x"
            ),
        ),
    ] {
        let ended = start(&place, &database, &["--before-migrate", hook]).run().code(74);
        assert_eq!(ended.output, "");
        ended.says(&how).says("; no migration was applied");
        assert!(!database.has_table("t"));
    }
    let after = ["--after-migrate", "sh -c 'echo no seed >&2; exit 4'"];
    let ended = start(&place, &database, &after).run().code(74);
    assert_eq!(ended.output, "");
    ended
        .says("after-migrate: no seed\n")
        .says("--after-migrate (sh) failed: it exited with status 4; the migrations stay applied, and it runs again at the next start");
    assert!(database.has_table("t"));
    start(&place, &database, &after).run().code(74).says("status 4; it runs again");
}

#[test]
fn hooks_run_without_a_shell() {
    let database = Server::shared().database();
    for hook in [r#"["echo", "$HOME | *", "a  b"]"#, r#"echo '$HOME | *' "a  b""#] {
        let ended = migrate(directory(&FILES).path())
            .words(["--after-migrate", hook])
            .database(database.url())
            .run();
        ended.code(0).says("after-migrate: $HOME | * a  b\n");
    }
    let lines = "[\"echo\",\n  \"two\",\n  \"lines\"]\n";
    let ended = migrate(directory(&FILES).path())
        .env("PREMAIN_AFTER_MIGRATE", lines)
        .database(database.url())
        .run();
    ended.code(0).says("after-migrate: two lines\n");
    for (hook, why) in [
        ("pg_dump app_secret | gzip", "contains '|', which needs a shell"),
        ("pg_dump 'app_secret", "ends within a quote"),
        (r#"["pg_dump", 7, "app_secret"]"#, "begins with '[' but is no JSON array of strings"),
    ] {
        let by_option = premain(["--before-migrate", hook, "true"]).run().code(64);
        by_option.says(&format!("--before-migrate {why}")).says_nothing_of("secret");
        let by_variable = premain(["true"]).env("PREMAIN_AFTER_MIGRATE", hook).run().code(78);
        by_variable.says("PREMAIN_AFTER_MIGRATE ").says_nothing_of("secret");
    }
}

#[test]
fn migration_hooks_are_skipped_with_a_message_without_an_optional_database() {
    let options = ["--generate", "false", "--before-migrate", "false", "--after-migrate", "false"];
    premain(options).words(["echo", "started"]).run().code(78).says("--generate needs");
    let ended = premain(["--db-optional"]).words(options).words(["echo", "started"]).run().code(0);
    assert_eq!(ended.output, "started\n");
    for hook in ["--generate", "--before-migrate", "--after-migrate"] {
        assert_eq!(
            ended.lines_with(&format!("{hook} (false) does not run: no database is configured")),
            1
        );
    }
}

#[test]
fn only_entrypoint_hooks_run_when_an_optional_database_is_down() {
    let container = executables(&[("1.sh", "#!/bin/sh\necho configured")]);
    let ended = premain(["--db-optional", "--wait-timeout", "100ms"])
        .words(["--before-migrate", "false", "--after-migrate", "false", "--entrypoint-d"])
        .with(container.path())
        .words(["echo", "started"])
        .database("postgres://x@127.0.0.1:1/x")
        .run()
        .code(0);
    assert_eq!(ended.output, "started\n");
    ended
        .says("--before-migrate (false) does not run: not everything was ready")
        .says("--after-migrate (false) does not run: not everything was ready")
        .says("1.sh: configured\n");
}

#[test]
fn entrypoint_hooks_run_last_in_the_order_of_their_names() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let container = executables(&[
        ("10-ten.sh", "#!/bin/sh\necho ten"),
        ("9-nine", "#!/bin/sh\necho nine; echo worse >&2"),
        ("b.sh", "#!/bin/sh\necho b"),
        ("a.sh", "#!/bin/sh\nprintf 'no line end'"),
    ]);
    fs::write(container.path().join("20-not.sh"), "#!/bin/sh\necho never").unwrap();
    fs::write(container.path().join(".hidden"), "").unwrap();
    fs::create_dir(container.path().join("more")).unwrap();
    fs::write(container.path().join("30-variables.envsh"), "export A=b").unwrap();
    let options = ["--after-migrate", "echo seeded", "--entrypoint-d"];
    let ended = premain(["--migrations"])
        .with(place.path())
        .words(options)
        .with(container.path())
        .words(["echo", "started"])
        .database(database.url())
        .run()
        .code(0);
    assert_eq!(ended.output, "started\n");
    let said: Vec<_> = ended.log.lines().filter(|line| !line.starts_with("premain: ")).collect();
    assert_eq!(
        said,
        [
            "after-migrate: seeded",
            "9-nine: nine",
            "9-nine: worse",
            "10-ten.sh: ten",
            "a.sh: no line end",
            "b.sh: b",
        ]
    );
    let ended = ended
        .says("warning: ")
        .says("/20-not.sh is not executable (chmod +x) and is ignored")
        .says("/more is a directory and is ignored")
        .says("/30-variables.envsh needs a shell to source it (.envsh) and is ignored")
        .says_nothing_of("hidden");
    assert!(ended.log.find("9-nine: nine") > ended.log.find("migration V2__u applied"));
}

#[test]
fn a_failing_entrypoint_hook_stops_the_start_and_later_hooks() {
    let container =
        executables(&[("1.sh", "#!/bin/sh\nexit 5"), ("2.sh", "#!/bin/sh\necho never")]);
    let run = || premain(["--entrypoint-d"]).with(container.path()).words(["echo", "started"]);
    let ended = run().run().code(74);
    assert_eq!(ended.output, "");
    ended
        .says("/1.sh failed: it exited with status 5; the application was not started")
        .says_nothing_of("never");
    fs::write(container.path().join("1.sh"), "#!/no/such\n").unwrap();
    run().run().code(74).says("/1.sh did not start: cannot execute ").says("interpreter /no/such");
}

#[test]
fn a_hook_without_an_interpreter_is_run_by_the_shell() {
    let container = executables(&[("1.sh", "echo from $0 $A; exit 0")]);
    let script = container.path().join("1.sh").display().to_string();
    let ended = premain(["--entrypoint-d"])
        .with(container.path())
        .words(["echo", "started"])
        .env("A", "b")
        .run()
        .code(0);
    ended.says(&format!("1.sh: from {script} b\n"));
    let database = Server::shared().database();
    let place = directory(&FILES);
    let ended = start(&place, &database, &["--after-migrate", &format!("{script} x")]);
    ended.run().code(0).says(&format!("after-migrate: from {script}\n"));
}

#[test]
fn premain_migrate_runs_migration_hooks_but_no_entrypoint_hooks() {
    let database = Server::shared().database();
    let container = executables(&[("1.sh", "#!/bin/sh\nexit 5")]);
    let hooks = ["--before-migrate", "echo backup", "--after-migrate", "echo seed"];
    let ended = migrate(directory(&FILES).path())
        .words(hooks)
        .with("--entrypoint-d")
        .with(container.path())
        .database(database.url())
        .run();
    ended.code(0).says("before-migrate: backup\n").says("after-migrate: seed\n");
}

#[test]
fn a_named_hook_directory_must_exist() {
    let said = "is '/nowhere', which cannot be read: No such file";
    premain(["--entrypoint-d", "/nowhere", "true"]).run().code(64).says(said);
    premain(["true"]).env("PREMAIN_ENTRYPOINT_D", "/nowhere").run().code(78).says(said);
    premain(["--entrypoint-d", "none", "true"]).run().code(0);
}

#[test]
fn hooks_get_the_applications_environment_and_libpq_variables() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let container = executables(&[("1.sh", "#!/bin/sh\necho PG=$PGDATABASE A=$A")]);
    let show = |hook: &str| {
        format!(
            "sh -c 'echo {hook} A=$A MIGRATION=$MIGRATION_DATABASE_URL URL=$DATABASE_URL PG=$PGDATABASE ADDRESS=$PGHOSTADDR; psql -Atc \"select current_database()\"'"
        )
    };
    let name = database.psql("SELECT current_database()");
    let generate = "sh -c 'echo PG=$PGDATABASE'";
    let ended = premain([
        "--generate",
        generate,
        "--before-migrate",
        &show("b"),
        "--after-migrate",
        &show("a"),
    ])
    .with("--migrations")
    .with(place.path())
    .with("--entrypoint-d")
    .with(container.path())
    .words(["--drop-env", "TOKEN", "sh", "-c", "echo PG=$PGDATABASE"])
    .env("A", "1")
    .env("TOKEN", "t")
    .env("DATABASE_URL", "postgres://pooler/x")
    .env("PGHOSTADDR", "127.0.0.9")
    .env("PGDATABASE", "elsewhere")
    .env("MIGRATION_DATABASE_URL", database.url())
    .run()
    .code(0);
    assert_eq!(ended.output, "PG=elsewhere\n");
    ended
        .says("generate: PG=elsewhere\n")
        .says(&format!("before-migrate: b A=1 MIGRATION= URL=postgres://pooler/x PG={name} ADDRESS=\nbefore-migrate: {name}\n"))
        .says(&format!("after-migrate: a A=1 MIGRATION= URL=postgres://pooler/x PG={name} ADDRESS=\nafter-migrate: {name}\n"))
        .says("1.sh: PG=elsewhere A=1\n");
}

#[test]
fn a_hook_that_uses_node_postgres_reaches_a_server_without_tls() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let seed = "node --input-type=module -e 'import pg from \"pg\"; \
                const client = new pg.Client(process.env.DATABASE_URL); await client.connect(); \
                await client.query(\"CREATE TABLE seeded ()\"); await client.end();'";
    premain(["migrate", "--after-migrate", seed, "--migrations"])
        .with(place.path())
        .within(&Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node"))
        .database(database.url())
        .run()
        .code(0);
    assert!(database.has_table("seeded"));
}

#[test]
fn hook_output_is_logged_line_by_line_at_every_level() {
    let container = executables(&[(
        "1.sh",
        "#!/bin/sh\nprintf 'one\\ntwo \"q\"\\r\\n\\n\\377 \\033[1mbold\\n'; head -c 40000 /dev/zero | tr '\\0' x",
    )]);
    let run = |options: &[&str]| {
        let ended = premain(["--entrypoint-d"])
            .with(container.path())
            .words(options)
            .with("true")
            .run()
            .code(0);
        ended.log
    };
    let text = run(&["--log", "error"]);
    let long = format!(
        "1.sh: {}\n1.sh: {}\n1.sh: {}\n",
        "x".repeat(16384),
        "x".repeat(16384),
        "x".repeat(7232)
    );
    assert_eq!(
        text,
        format!("1.sh: one\n1.sh: two \"q\"\n1.sh: \n1.sh: \u{fffd} \u{1b}[1mbold\n{long}")
    );
    let json = run(&["--log-format", "json"]);
    let values: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let said: Vec<_> = values
        .iter()
        .filter(|value| value["hook"] == "1.sh")
        .map(|value| &value["message"])
        .collect();
    assert_eq!(said.len(), 7);
    assert_eq!(said[1], "two \"q\"");
    assert_eq!(said[3], "\u{fffd} \u{1b}[1mbold");
}

#[test]
fn processes_left_by_a_hook_do_not_block_the_start() {
    let container = executables(&[(
        "1.sh",
        "#!/bin/sh\nsleep 1000 &\nsleep 1000 >/dev/null 2>&1 &\necho $! started",
    )]);
    let ended = premain(["--grace", "1s", "--entrypoint-d"])
        .with(container.path())
        .words(["echo", "started"])
        .run()
        .code(0);
    assert_eq!(ended.output, "started\n");
    ended.says("1.sh left a process behind that shares its output");
}

#[test]
fn the_lock_survives_idle_session_timeout() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let name = database.psql("SELECT current_database()");
    database.psql(&format!("ALTER DATABASE {name} SET idle_session_timeout = '2s'"));
    let scratch = tempfile::tempdir().unwrap();
    // The hook runs until the server has ended another idle session, which began after premain's was idle.
    let idle = "PGAPPNAME=idle psql -c 'select 1' -f idle <>idle >answered 2>&1";
    let count = "select count(*) from pg_stat_activity where application_name = 'idle'";
    let hook = shell(&format!(
        r#"cd {}; mkfifo idle; {idle} & until [ -s answered ]; do :; done
           until [ "$(psql -Atc "{count}")" = 0 ]; do :; done
           kill $!; psql -Atc "{LOCKS}""#,
        scratch.path().display()
    ));
    let ended = start(&place, &database, &["--before-migrate", &hook]).run().code(0);
    ended.says("before-migrate: 1\n").says("migrations 2 applied");
}

#[test]
fn a_long_hook_is_logged_at_intervals() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let notes = tempfile::tempdir().unwrap();
    let pipe = notes.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // It reads until the test writes.
    let hook = format!("cat {}", pipe.display());
    let mut running = start(&place, &database, &["--before-migrate", &hook]).start();
    running.wait_for("migrations: --before-migrate (cat) still runs after 2s");
    fs::write(&pipe, "enough\n").unwrap();
    running.end().code(0).says("before-migrate: enough\n").says("migrations 2 applied");
}

#[test]
fn hook_arguments_are_never_logged() {
    let container = directory(&FILES);
    let database = Server::shared().database();
    let hook = ["--after-migrate", "true --password=app_secret"];
    let ended =
        start(&container, &database, &hook).words([""; 0]).env("PREMAIN_LOG", "trace").run();
    ended.code(0).says("--after-migrate (true) done in").says_nothing_of("app_secret");
}
