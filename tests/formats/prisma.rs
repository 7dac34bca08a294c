//! Prisma and premain take turns on one database, and neither notices the other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain};
use crate::support::{directory, node};

/// What Prisma 6.19 made, and what it made of it.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prisma")
}

fn all() -> PathBuf {
    fixture().join("migrations")
}

/// The first migrations of the fixture.
fn first(count: usize) -> tempfile::TempDir {
    let mut names: Vec<_> = fs::read_dir(all())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    names.sort();
    let files: Vec<_> = names[..count]
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            (
                format!("{name}/migration.sql"),
                fs::read_to_string(path.join("migration.sql")).unwrap(),
            )
        })
        .collect();
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    directory(&files)
}

fn run(database: &Database<'_>, directory: &Path) -> Ended {
    premain(["--migrations"]).with(directory).words(["migrate"]).database(database.url()).run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory).code(0)
}

fn native(database: &Database<'_>, directory: &Path) -> String {
    node::prisma("apply", database, directory, "").unwrap()
}

/// A dump in which ids and times are alike; they are the only thing that may differ.
fn dump(database: &Database<'_>) -> String {
    database.psql(
        "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY started_at, migration_name) AS n FROM _prisma_migrations) \
         UPDATE _prisma_migrations m SET id = numbered.n, started_at = 'epoch', \
         finished_at = CASE WHEN finished_at IS NOT NULL THEN 'epoch'::timestamptz END, \
         rolled_back_at = CASE WHEN rolled_back_at IS NOT NULL THEN 'epoch'::timestamptz END \
         FROM numbered WHERE numbered.id = m.id",
    );
    if database.has_table("\"User\"") {
        database.psql("UPDATE \"User\" SET created_at = 'epoch'");
    }
    database.dump()
}

#[test]
fn premain_leaves_the_same_database_as_prisma() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, &all())
        .says("migrations (prisma, 4 files), history table _prisma_migrations")
        .says("migration 20261120220421_posts applied in");
    assert_eq!(
        ours.psql(
            "SELECT count(*) FROM _prisma_migrations WHERE id ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' \
             AND started_at <= finished_at"
        ),
        "4"
    );
    native(&theirs, &all());
    assert_eq!(dump(&ours), dump(&theirs));
}

#[test]
fn history_rows_equal_those_of_the_fixture() {
    let database = Server::shared().database();
    migrate(&database, &all());
    let ours = database.psql(
        "SELECT checksum, migration_name, applied_steps_count, logs IS NULL FROM _prisma_migrations ORDER BY started_at",
    );
    let native =
        fs::read_to_string(fixture().join("native-cli-6.19.0-wasm-engine.dump.sql")).unwrap();
    let rows = native.split("COPY public._prisma_migrations").nth(1).unwrap();
    let rows = rows.lines().skip(1).take_while(|line| *line != "\\.").map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        let logs = if columns[4] == "\\N" { "t" } else { "f" };
        format!("{}|{}|{}|{logs}", columns[1], columns[3], columns[7])
    });
    assert_eq!(ours, rows.collect::<Vec<_>>().join("\n"));
}

#[test]
fn premain_continues_where_prisma_stopped() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    native(&shared, first(2).path());
    migrate(&shared, &all()).says("migrations 2 applied");
    let before = shared.dump();
    assert!(native(&shared, &all()).contains("\"appliedMigrationNames\":[]"));
    assert_eq!(shared.dump(), before);
    native(&alone, &all());
    assert_eq!(dump(&shared), dump(&alone));
}

#[test]
fn prisma_continues_where_premain_stopped() {
    let (shared, alone) = (Server::shared().database(), Server::shared().database());
    migrate(&shared, first(2).path());
    native(&shared, &all());
    let before = shared.dump();
    migrate(&shared, &all()).says("none pending (4 applied before)");
    assert_eq!(shared.dump(), before);
    native(&alone, &all());
    assert_eq!(dump(&shared), dump(&alone));
}

#[test]
fn a_migration_that_prisma_failed_stops_until_it_is_resolved() {
    let database = Server::shared().database();
    let bad = directory(&[
        ("1_init/migration.sql", "CREATE TABLE a (id int);"),
        ("2_bad/migration.sql", "INSERT INTO nope VALUES (1);"),
    ]);
    node::prisma("apply", &database, bad.path(), "").unwrap_err();
    run(&database, bad.path())
        .code(65)
        .says("migration 2_bad failed halfway: it was started on ")
        .says("--rolled-back 2_bad");
    premain(["status", "--exit-code", "--migrations"])
        .with(bad.path())
        .database(database.url())
        .run()
        .code(2);
    node::prisma("rolledback", &database, bad.path(), "2_bad").unwrap();
    let good = directory(&[
        ("1_init/migration.sql", "CREATE TABLE a (id int);"),
        ("2_bad/migration.sql", "CREATE TABLE nope (id int);"),
    ]);
    migrate(&database, good.path()).says("migrations 1 applied");
    assert_eq!(database.psql("SELECT count(*) FROM _prisma_migrations"), "3");
    native(&database, good.path());
    migrate(&database, good.path()).says("none pending (2 applied before)");
}

#[test]
fn a_baselined_database_continues_from_its_baseline() {
    let database = Server::shared().database();
    database.psql("CREATE TABLE \"User\" (id serial PRIMARY KEY, email text, name text, created_at timestamp)");
    node::prisma("applied", &database, &all(), "20261120220321_init").unwrap();
    migrate(&database, &all()).says("migrations 3 applied");
    native(&database, &all());
    assert_eq!(database.psql("SELECT count(*) FROM _prisma_migrations"), "4");
}

#[test]
fn rows_in_every_state_are_read_as_prisma_does() {
    let database = Server::shared().database();
    let dump =
        fs::read_to_string(fixture().join("native-baselined-rolledback-failed.dump.sql")).unwrap();
    let rows = dump.split("COPY public._prisma_migrations").nth(1).unwrap();
    let table = dump.split("CREATE TABLE public._prisma_migrations").nth(1).unwrap();
    database.psql(&format!(
        "CREATE TABLE public._prisma_migrations{}",
        table.split(';').next().unwrap()
    ));
    for line in rows.lines().skip(1).take_while(|line| *line != "\\.") {
        let values = line.split('\t').map(|value| match value {
            "\\N" => "NULL".to_owned(),
            value => format!("E'{}'", value.replace('\'', "''")),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        database.psql(&format!("INSERT INTO _prisma_migrations VALUES ({values})"));
    }
    run(&database, &all())
        .code(65)
        .says("external connector error")
        .says("'premain resolve --applied 20261120220421_posts'");
}

#[test]
fn a_failing_migration_leaves_no_row() {
    let database = Server::shared().database();
    let bad = directory(&[(
        "1_init/migration.sql",
        "CREATE TABLE a(id int);\nINSERT INTO nope VALUES (1);\n",
    )]);
    run(&database, bad.path())
        .code(76)
        .says("1_init/migration.sql:2:13: relation \"nope\" does not exist (42P01 undefined_table)")
        .says("nothing of migration 1_init was kept");
    assert_eq!(database.psql("SELECT count(*) FROM _prisma_migrations"), "0");
    assert!(!database.has_table("a"));
}

#[test]
fn drift_that_prisma_ignores_is_logged_and_ignored() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    let before = directory(&[
        ("1_a/migration.sql", "CREATE TABLE a ();\n"),
        ("3_c/migration.sql", "CREATE TABLE c ();\n"),
        ("4_d/migration.sql", ""),
    ]);
    let after = directory(&[
        ("1_a/migration.sql", "CREATE TABLE a ();\r\n"),
        ("2_b/migration.sql", "\u{feff}CREATE TABLE b ();\n"),
        ("3_c/migration.sql", "CREATE TABLE c (x int);\n"),
        ("5_e/migration.sql", "CREATE TABLE e ();\n"),
    ]);
    migrate(&ours, before.path());
    migrate(&ours, after.path())
        .says("migration 2_b is out of order: 4_d is already applied; it is applied nevertheless")
        .says("migration 3_c was edited after it was applied on ")
        .says("migration 4_d is applied but has no file")
        .says_nothing_of("migration 1_a");
    fs::write(after.path().join("2_b/migration.sql"), "CREATE TABLE b ();\n").unwrap();
    native(&theirs, before.path());
    native(&theirs, after.path());
    let names = "SELECT migration_name FROM _prisma_migrations ORDER BY 1";
    assert_eq!(ours.psql(names), theirs.psql(names));
    migrate(&ours, before.path()).says("the database is ahead of this image: migration 5_e");
}

#[test]
fn names_are_ordered_as_locale_compare_does() {
    let names =
        ["1_a", "1-a", "10_a", "1a", "2_b", "20240101_a", "202401010_b", "A_x", "a_y", "B_z"];
    let files = names.map(|name| {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS seen (at serial, name text); INSERT INTO seen (name) VALUES ('{name}');"
        );
        (format!("{name}/migration.sql"), sql)
    });
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    let place = directory(&files);
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, place.path());
    native(&theirs, place.path());
    let order = "SELECT string_agg(name, ' ' ORDER BY at) FROM seen";
    assert_eq!(ours.psql(order), names.join(" "));
    assert_eq!(theirs.psql(order), names.join(" "));
}

#[test]
fn the_schema_parameter_creates_the_schema_of_the_history_table() {
    let database = Server::shared().database();
    for pending in ["migrations 4 applied", "none pending"] {
        premain(["--migrations"])
            .with(all())
            .words(["migrate"])
            .database(format!("{}?schema=My%20app", database.url()))
            .run()
            .code(0)
            .says(pending);
    }
    assert!(database.has_table("\"My app\".\"User\"") && !database.has_table("public.\"User\""));
}

#[test]
fn a_migration_that_empties_the_search_path_is_recorded() {
    let database = Server::shared().database();
    let sql = "SELECT pg_catalog.set_config('search_path', '', false); CREATE TABLE public.a ();";
    let place =
        directory(&[("0_init/migration.sql", sql), ("1_b/migration.sql", "CREATE TABLE b ();")]);
    migrate(&database, place.path()).says("migrations 2 applied");
    migrate(&database, place.path()).says("none pending (2 applied before)");
}

#[test]
fn premain_waits_for_prismas_lock() {
    let database = Server::shared().database();
    let _prisma =
        database.open("SET application_name = 'prisma'; SELECT pg_advisory_lock(72707369);");
    premain(["--lock-timeout", "300ms", "--migrations"])
        .with(all())
        .words(["migrate"])
        .database(database.url())
        .run()
        .code(75)
        .says("(prisma, postgres@");
}

#[test]
fn invalid_directories_are_errors_before_the_database_is_asked() {
    for (files, text) in [
        (&[("1_a/migration.sql", ""), ("2_b/readme", "")][..], "2_b: it holds no migration.sql"),
        (
            &[("1_a/migration.sql", ""), ("migration_lock.toml", "provider = \"mysql\"")],
            "for mysql, not for postgresql",
        ),
    ] {
        premain(["--migrations"])
            .with(directory(files).path())
            .words(["migrate"])
            .database("postgres://x@127.0.0.1:1/x")
            .run()
            .code(65)
            .says(text);
    }
}
