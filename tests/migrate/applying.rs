//! Applying refinery migrations: once, in order, all or nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::directory;
use crate::support::postgres::Server;
use crate::support::premain::{Premain, migrate, premain};

/// A binary that embeds the reference application's migrations.
fn embedding() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/embedding");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--bin", "premain", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PREMAIN_EMBED", "migrations")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .status();
        assert!(built.unwrap().success(), "premain does not build with PREMAIN_EMBED=migrations");
        let paths = std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| path.join("debug/premain")).find(|path| path.is_file()).unwrap()
    });
    Command::new(binary)
}

/// Runs build.rs as cargo does, and returns whether it succeeded, what it printed, and what it embeds.
fn embed(files: &[(&str, &str)]) -> (bool, String, String) {
    embedding();
    let builds = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/embedding/debug/build");
    let scripts = std::fs::read_dir(builds).unwrap().map(|entry| entry.unwrap().path());
    let scripts = scripts.filter(|path| path.to_string_lossy().contains("/premain-"));
    let scripts = scripts.map(|path| path.join("build-script-build")).filter(|path| path.is_file());
    let newest = scripts.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap();
    let (place, out) = (directory(files), directory(&[]));
    let output = Command::new(newest)
        .env("CARGO_MANIFEST_DIR", "/")
        .env("PREMAIN_EMBED", place.path())
        .env("OUT_DIR", out.path())
        .output()
        .unwrap();
    let embedded = std::fs::read_to_string(out.path().join("embedded.rs")).unwrap_or_default();
    (output.status.success(), String::from_utf8(output.stdout).unwrap(), embedded)
}

#[test]
fn what_cannot_be_embedded_fails_the_build() {
    let valid = ("V1__a.sql", "SELECT 1;");
    for (files, says) in [
        (&[][..], "it holds no migration; name one like V1__create_users.sql"),
        (
            &[("001_a.sql", "")],
            "001_a.sql: it looks like a migration and is not read: its name is not",
        ),
        (
            &[valid, ("deep/V2_b.sql", "")],
            "deep/V2_b.sql: it looks like a migration and is not read",
        ),
        (&[valid, ("V2__b.rs", "")], "V2__b.rs: it is a migration in Rust"),
        (&[valid, ("views.sql", "")], "views.sql: its name is not like V1__create_users.sql"),
        (&[valid, ("V1.5__b.sql", "")], "V1.5__b.sql: refinery has no decimal versions"),
        (&[valid, ("deep/V1__b.sql", "")], "has the same version"),
        (&[("V1__a.sql", "-- +goose Up")], "is a marker of goose"),
    ] {
        let (is_built, printed, _) = embed(files);
        let says_why = printed
            .lines()
            .any(|line| line.starts_with("cargo::error=PREMAIN_EMBED: /") && line.contains(says));
        assert!(!is_built && says_why, "{files:?}: {printed}");
    }
    let (is_built, printed, embedded) = embed(&[
        ("deep/U10__c.sql", "SELECT 3;"),
        ("V9__b.sql", "SELECT '2';"),
        ("README.md", ""),
        (".hidden/V1__x.sql", ""),
    ]);
    assert!(is_built, "{printed}");
    let expected =
        r#"[(Order::Strict, 9, "b", "SELECT '2';"),(Order::Free, 10, "c", "SELECT 3;"),]"#;
    assert_eq!(embedded, expected);
}

#[test]
fn embedded_migrations_are_applied_before_the_application_starts() {
    let database = Server::shared().database();
    let start = Premain::of(embedding()).words(["--", "echo", "hello"]);
    let ended = start.database(database.url()).run().code(0);
    assert_eq!(ended.output, "hello\n");
    ended
        .says("migrations: embedded (refinery, 5 files)")
        .says("migration V1__create_abilities applied in");
    assert!(database.has_table("abilities"));
    assert_eq!(database.psql("SELECT count(*) FROM refinery_schema_history"), "5");
}

#[test]
fn a_plain_build_embeds_nothing() {
    let database = Server::shared().database();
    let place = directory(&[]);
    premain(["migrate"]).database(database.url()).within(place.path()).run().code(0);
    assert!(!database.has_table("abilities") && !database.has_table("refinery_schema_history"));
    premain(["--migrations", "embedded", "migrate"])
        .database(database.url())
        .run()
        .code(65)
        .says("this binary embeds no migrations; build it with PREMAIN_EMBED=DIRECTORY");
}

#[test]
fn a_directory_on_disk_wins_over_embedded_migrations() {
    let database = Server::shared().database();
    let place = directory(&[("migrations/V1__one.sql", "CREATE TABLE one (a int)")]);
    let start = || Premain::of(embedding()).words(["migrate"]);
    let run = || start().database(database.url()).within(place.path()).run().code(0);
    run().says("./migrations (refinery, 1 file)").says("migrations 1 applied");
    run().says("none pending (1 applied before)");
    assert!(database.has_table("one") && !database.has_table("abilities"));
}

#[test]
fn migrations_none_applies_nothing() {
    let database = Server::shared().database();
    premain(["--migrations", "none", "true"]).database(database.url()).run().code(0);
    assert!(!database.has_table("refinery_schema_history"));
}

#[test]
fn a_failing_migration_keeps_nothing_and_the_application_is_not_started() {
    let database = Server::shared().database();
    let place = directory(&[
        ("V1__good.sql", "CREATE TABLE good (a int);"),
        (
            "V2__bad.sql",
            "-- größer\r\nCREATE TABLE half (a int);\r\nCREATE TABLE \"ä\" (b intt);\r\n",
        ),
        ("V3__never.sql", "CREATE TABLE never (a int);"),
    ]);
    let ended = premain(["--migrations"])
        .with(place.path())
        .words(["echo", "started"])
        .database(database.url())
        .run();
    let ended = ended.code(76);
    assert_eq!(ended.output, "", "the application ran");
    let ended = ended
        .says("migration V2__bad failed at ")
        .says("V2__bad.sql:3:21: type \"intt\" does not exist (42704 undefined_object)")
        .says("^^^^")
        .says("nothing of migration V2__bad was kept")
        .says("1 of 3 migrations were applied before it: V1__good");
    drop(ended);
    assert!(
        database.has_table("good") && !database.has_table("half") && !database.has_table("never")
    );
    assert_eq!(database.psql("SELECT version FROM refinery_schema_history"), "1");
}

#[test]
fn detail_hint_and_constraint_are_shown() {
    let database = Server::shared().database();
    let place = directory(&[(
        "V1__twice.sql",
        "CREATE TABLE t (a int CONSTRAINT only_once UNIQUE);\nINSERT INTO t VALUES (1), (1);",
    )]);
    migrate(place.path())
        .database(database.url())
        .run()
        .code(76)
        .says("Key (a)=(1) already exists")
        .says("only_once")
        .says("23505");
}

#[test]
fn twenty_replicas_apply_each_migration_once() {
    let database = Server::shared().database();
    let place = directory(&[
        ("V1__t.sql", "CREATE TABLE t (a int); SELECT pg_sleep(0.05);"),
        ("V2__row.sql", "INSERT INTO t VALUES (1);"),
        ("V3__row.sql", "INSERT INTO t VALUES (2);"),
    ]);
    let running: Vec<_> = (0..20)
        .map(|_| {
            premain(["--migrations"])
                .with(place.path())
                .words(["true"])
                .database(database.url())
                .start()
        })
        .collect();
    let ended: Vec<_> = running.into_iter().map(|running| running.end().code(0)).collect();
    let applied = ended.iter().filter(|ended| ended.log.contains("migrations 3 applied")).count();
    assert_eq!(applied, 1);
    assert_eq!(database.psql("SELECT count(*), sum(a) FROM t"), "2|3");
    assert_eq!(database.psql("SELECT count(*) FROM refinery_schema_history"), "3");
}

#[test]
fn read_access_to_the_history_table_is_enough_with_nothing_pending() {
    let server = Server::shared();
    let database = server.database();
    let place = directory(&[("V1__t.sql", "CREATE TABLE t (a int)")]);
    let migrate = || migrate(place.path());
    migrate().database(database.url()).run().code(0);
    let role = format!("reader_{}", database.name);
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON refinery_schema_history TO {role}; \
         ALTER ROLE {role} SET default_transaction_read_only = on"
    ));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    migrate().database(&url).run().code(0).says("none pending");
}

#[test]
fn session_settings_do_not_leak_into_the_next_migration() {
    let database = Server::shared().database();
    let place = directory(&[
        (
            "V1__dump.sql",
            "SELECT pg_catalog.set_config('search_path', '', false); SET default_tablespace = ''; CREATE TABLE public.one (a int);",
        ),
        ("V2__plain.sql", "CREATE TABLE two (a int);"),
    ]);
    migrate(place.path()).database(database.url()).run().code(0);
    assert!(database.has_table("public.one") && database.has_table("public.two"));
}

#[test]
fn notices_of_the_server_are_logged() {
    let database = Server::shared().database();
    let place = directory(&[(
        "V1__t.sql",
        "DO $$ BEGIN RAISE NOTICE 'halfway'; RAISE WARNING 'mind this'; END $$",
    )]);
    migrate(place.path())
        .database(database.url())
        .run()
        .code(0)
        .says("migration: the server notes: halfway")
        .says("migration: the server warns: mind this");
}

#[test]
fn files_as_editors_write_them_are_applied() {
    let database = Server::shared().database();
    let place = directory(&[
        ("V1__bom.sql", "\u{feff}CREATE TABLE bom (a int)"),
        ("V2__comment_at_the_end.sql", "CREATE TABLE comment (a int) -- no semicolon, no line end"),
        ("V3__empty.sql", ""),
        ("V4__only_a_comment.sql", "/* nothing /* nested */ */"),
        (
            "deep/er/V5__body.sql",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END; $f$;\r\n",
        ),
    ]);
    migrate(place.path()).database(database.url()).run().code(0);
    assert_eq!(database.psql("SELECT count(*) FROM refinery_schema_history"), "5");
    assert_eq!(database.psql("SELECT f()"), "1");
}

#[test]
fn a_migration_blocked_by_a_table_lock_is_retried_and_lets_readers_through() {
    let database = Server::shared().database();
    database.psql("CREATE SCHEMA site; CREATE TABLE site.busy (a int)");
    let place = directory(&[("V1__alter.sql", "ALTER TABLE site.busy ADD b int")]);
    let mut blocker = database.open("BEGIN; SELECT * FROM site.busy;");
    let mut running = premain(["--ddl-lock-timeout", "50ms", "--migrations"])
        .with(place.path())
        .words(["migrate"])
        .database(database.url())
        .start();
    running.wait_for("could not get its table locks");
    assert_eq!(database.psql("SELECT count(*) FROM site.busy"), "0", "a reader got through");
    blocker.send("COMMIT;");
    running.end().code(0);

    let place = directory(&[
        ("V1__alter.sql", "ALTER TABLE site.busy ADD b int"),
        ("V2__alter.sql", "ALTER TABLE site.busy ADD c int"),
    ]);
    blocker.send("BEGIN; SELECT * FROM site.busy;");
    premain(["--ddl-lock-timeout", "20ms", "--ddl-retries", "1", "--migrations"])
        .with(place.path())
        .words(["migrate"])
        .database(database.url())
        .run()
        .code(75)
        .says("2 attempts");
}

#[test]
fn the_holder_of_the_migration_lock_is_named_and_the_wait_is_bounded() {
    let database = Server::shared().database();
    let place = directory(&[("V1__t.sql", "CREATE TABLE t (a int)")]);
    let _holder = database.open(
        "SET application_name = 'the other one'; SELECT pg_advisory_lock(31650977343957358);",
    );
    premain(["--lock-timeout", "1s", "--migrations"])
        .with(place.path())
        .words(["migrate"])
        .database(database.url())
        .run()
        .code(75)
        .says("waiting for the migration lock, held by pid")
        .says("the other one, postgres@")
        .says("pg_terminate_backend");
    assert!(!database.has_table("t"));
}

#[test]
fn drift_stops_a_start_unless_the_database_is_ahead() {
    let database = Server::shared().database();
    let files = [
        ("V1__a.sql", "CREATE TABLE a ()"),
        ("V2__b.sql", "CREATE TABLE b ()"),
        ("V3__c.sql", "CREATE TABLE c ()"),
    ];
    let migrate = |files: &[(&str, &str)]| {
        let place = directory(files);
        migrate(place.path()).database(database.url()).run()
    };
    migrate(&files).code(0);
    migrate(&files[..2]).code(0).says("ahead of this image: migration V3__c");
    migrate(&[files[0], files[2]]).code(65).says("migration V2__b is applied but has no file");
    migrate(&[("V1__a.sql", "CREATE TABLE a (x int)"), files[1], files[2]])
        .code(65)
        .says("migration V1__a was edited after it was applied");
    database.psql("DELETE FROM refinery_schema_history WHERE version = 2; DROP TABLE b");
    migrate(&files).code(65).says("migration V2__b is out of order");
    migrate(&[files[0], ("U2__b.sql", "CREATE TABLE b ()"), files[2]])
        .code(0)
        .says("migration U2__b applied");
}

#[test]
fn invalid_directories_are_errors_before_the_database_is_asked() {
    type Files = &'static [(&'static str, &'static str)];
    let cases: [(Files, i32, &str); 3] = [
        (&[("V1__a.sql", ""), ("sub/V1__b.sql", "")], 65, "both have version 1"),
        (&[("|1__a.sql", "")], 65, "begin it with V or U"),
        (&[("V1__nul.sql", "SELECT 1;\nSELECT '\0';")], 65, "line 2 contains a NUL byte"),
    ];
    for (files, code, text) in cases {
        let place = directory(files);
        // No server listens there: the directory is read first.
        migrate(place.path()).database("postgres://x@127.0.0.1:1/x").run().code(code).says(text);
    }
    let decimal = directory(&[("V1.5__a.sql", "")]);
    migrate(decimal.path())
        .words(["--format", "refinery"])
        .database("postgres://x@127.0.0.1:1/x")
        .run()
        .code(65)
        .says("no decimal versions")
        .says("--format flyway");
    premain(["--migrations", "/no/such/directory", "migrate"])
        .database("postgres://x@127.0.0.1:1/x")
        .run()
        .code(66)
        .says("/no/such/directory");
    let place = directory(&[]);
    std::fs::write(place.path().join("V1__latin1.sql"), b"-- ok\nSELECT 'gr\xfc\xdfe'").unwrap();
    migrate(place.path())
        .database("postgres://x@127.0.0.1:1/x")
        .run()
        .code(65)
        .says("line 2 is not UTF-8");
}

#[test]
fn a_missing_privilege_is_77() {
    let database = Server::shared().database();
    let role = format!("nobody_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    let place = directory(&[("V1__t.sql", "CREATE TABLE t (a int)")]);
    let url = database.url().replace("postgres@", &format!("{role}@"));
    migrate(place.path())
        .database(&url)
        .run()
        .code(77)
        .says("permission denied for schema public")
        .says("grant this role what it lacks");
    database.psql(&format!("GRANT CREATE ON SCHEMA public TO {role}"));
    migrate(place.path()).database(&url).run().code(0);
    database.psql("CREATE TABLE theirs ()");
    std::fs::write(place.path().join("V2__u.sql"), "ALTER TABLE theirs ADD a int").unwrap();
    migrate(place.path())
        .database(&url)
        .run()
        .code(77)
        .says("must be owner of table theirs (42501 insufficient_privilege)")
        .says("grant this role what it lacks, and start again");
}

#[test]
fn the_history_table_can_be_named() {
    let database = Server::shared().database();
    database.psql("CREATE SCHEMA \"My Schema\"");
    // A number is a name, too, if it is quoted.
    for (n, table) in ["\"My Schema\".\"a \"\"table\"", "\"16\""].iter().enumerate() {
        let place = directory(&[("V1__t.sql", &format!("CREATE TABLE site.t{n} (a int)"))]);
        database.psql("CREATE SCHEMA IF NOT EXISTS site");
        for _ in 0..2 {
            premain(["--history-table", table, "--migrations"])
                .with(place.path())
                .words(["migrate"])
                .database(database.url())
                .run()
                .code(0);
        }
        assert_eq!(database.psql(&format!("SELECT count(*) FROM {table}")), "1");
    }
}
