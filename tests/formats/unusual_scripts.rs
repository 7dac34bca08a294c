//! Unusual scripts, in every format whose tool the tests can run: premain accepts what the tool accepts, and
//! leaves the same database.

use std::path::Path;

use tempfile::TempDir;

use super::refinery::refinery;
use crate::support::layout::marked;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate};
use crate::support::{directory, node, tools};

const FORMATS: [&str; 6] = ["refinery", "drizzle", "drizzle1", "prisma", "sqlx", "dbmate"];

/// These scripts as the migrations of a directory, in their order.
fn scripts(format: &str, scripts: &[&str]) -> TempDir {
    let name = |n: usize| match format {
        "refinery" => format!("V{n}__m{n}.sql"),
        "sqlx" | "dbmate" => format!("{n}_m.sql"),
        "drizzle" => format!("{n:04}_m.sql"),
        _ => format!("2024010100000{n}_m/migration.sql"),
    };
    let texts = scripts.iter().map(|sql| match format {
        // dbmate looks for both.
        "dbmate" => marked(format, sql) + "\n-- migrate:down\n",
        _ => (*sql).to_owned(),
    });
    let mut files: Vec<_> = (1..).map(name).zip(texts).collect();
    match format {
        "drizzle" => {
            // Neither the version nor idx means anything.
            let entries = (1..=scripts.len())
                .map(|n| format!(r#"{{"idx": {}, "when": {n}, "tag": "{n:04}_m"}}"#, 9 - n));
            let entries = entries.collect::<Vec<_>>().join(",");
            let journal = format!(r#"{{"version": "5", "dialect": "pg", "entries": [{entries}]}}"#);
            files.push(("meta/_journal.json".to_owned(), journal));
        }
        "drizzle1" => files.push(("20240101000001_m/snapshot.json".to_owned(), "{}".to_owned())),
        _ => {}
    }
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    directory(&files)
}

fn native(format: &str, database: &Database<'_>, directory: &Path) -> Result<String, String> {
    match format {
        "refinery" => refinery(database, directory),
        "sqlx" => tools::sqlx(database, directory, &["run"]),
        "dbmate" => tools::dbmate(database, directory, "migrate"),
        "drizzle" => node::drizzle("drizzle-orm", database, directory, None),
        "drizzle1" => node::drizzle("drizzle-orm-1", database, directory, None),
        _ => node::prisma("apply", database, directory, ""),
    }
}

fn premain(format: &str, database: &Database<'_>, directory: &Path) -> Ended {
    migrate(directory).words(["--format", format]).database(database.url()).run()
}

fn history_table(format: &str) -> &'static str {
    match format {
        "refinery" => "refinery_schema_history",
        "prisma" => "_prisma_migrations",
        "sqlx" => "_sqlx_migrations",
        "dbmate" => "schema_migrations",
        _ => "drizzle.__drizzle_migrations",
    }
}

/// A dump in which ids and times are alike; they are all that may differ.
fn dump(format: &str, database: &Database<'_>) -> String {
    let alike = match format {
        "refinery" => "applied_on = ''",
        "drizzle" => "id = id",
        "sqlx" => "installed_on = 'epoch', execution_time = 0",
        "dbmate" => "version = version",
        "drizzle1" => "applied_at = 'epoch'",
        _ => "id = migration_name, started_at = 'epoch', finished_at = 'epoch'",
    };
    // Sorted, because an update moves a row.
    let table = history_table(format);
    database.psql(&format!(
        "UPDATE {table} SET {alike}; CREATE TABLE rows AS SELECT l::text FROM {table} l ORDER BY 1; DROP TABLE {table}"
    ));
    database.dump()
}

/// Both apply these scripts, and leave the same; then each finds nothing to do in the other's database.
fn same(formats: &[&str], case: &[&str]) {
    for format in formats {
        let directory = scripts(format, case);
        let (ours, theirs) = (Server::shared().database(), Server::shared().database());
        premain(format, &ours, directory.path())
            .code(0)
            .says(&format!("({format}, {} file", case.len()));
        native(format, &theirs, directory.path()).unwrap();
        let before = ours.dump();
        native(format, &ours, directory.path()).unwrap();
        assert_eq!(ours.dump(), before, "{format}");
        premain(format, &theirs, directory.path()).code(0).says("none pending");
        assert_eq!(dump(format, &ours), dump(format, &theirs), "{format}");
    }
}

#[test]
fn scripts_may_have_their_own_transaction() {
    // dbmate stops at the transaction that it finds closed.
    same(
        &FORMATS[..5],
        &[
            "BEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\n",
            "CREATE TABLE b (); COMMIT; CREATE TABLE c ()",
            "CREATE TABLE d ()",
        ],
    );
}

#[test]
fn scripts_that_are_hard_to_split_are_applied() {
    let long: String = (0..2500)
        .map(|n| format!("INSERT INTO größe VALUES ({n}, 'Zeile {n}; ''ende''');\n"))
        .collect();
    same(
        &FORMATS,
        &[
            "/* a; /* b; */ c; */\r\nCREATE TABLE größe (n int,\r\n  \"odd;\"\"name\" text) -- not yet;\r\n;\r\n",
            "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $fn$ BEGIN\n  -- 'one; $$two\n  RETURN $$a;b$$ || E'\\';' || U&'d\\0061t';\nEND; $fn$;\n\nCREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;",
            &long,
            "SELECT 'no semicolon, and a comment at the end' -- 日本 🦀",
        ],
    );
    assert!(long.len() > 100_000);
}

#[test]
fn scripts_without_statements_are_recorded() {
    same(
        &FORMATS,
        &["", "-- nothing yet", "\n\n/* nothing\neither */\n", ";", "CREATE TABLE t ()"],
    );
}

#[test]
fn scripts_may_use_the_history_table() {
    for format in FORMATS {
        let table = history_table(format);
        let schema =
            if format.starts_with("drizzle") { "CREATE SCHEMA IF NOT EXISTS drizzle;" } else { "" };
        let create = format!("{schema} CREATE TABLE IF NOT EXISTS {table} (nobody int)");
        let delete = format!("DELETE FROM {table}");
        let directory = scripts(format, &[create.as_str(), delete.as_str(), "CREATE TABLE t ()"]);
        let (ours, theirs) = (Server::shared().database(), Server::shared().database());
        premain(format, &ours, directory.path()).code(0);
        native(format, &theirs, directory.path()).unwrap();
        match format {
            // Prisma inserts its row before the script, and misses it afterwards; ours is there.
            "prisma" => assert_eq!(ours.psql("SELECT count(*) FROM _prisma_migrations"), "2"),
            _ => assert_eq!(dump(format, &ours), dump(format, &theirs), "{format}"),
        }
    }
}

#[test]
fn session_settings_do_not_leak_into_the_next_script() {
    let case =
        ["SET work_mem = '9MB'", "CREATE TABLE memory AS SELECT current_setting('work_mem')"];
    for format in FORMATS {
        let (one, both) = (scripts(format, &case[..1]), scripts(format, &case));
        let (ours, theirs) = (Server::shared().database(), Server::shared().database());
        premain(format, &ours, both.path()).code(0);
        // The tool leaves the same where it is run for each.
        native(format, &theirs, one.path()).unwrap();
        native(format, &theirs, both.path()).unwrap();
        assert_eq!(dump(format, &ours), dump(format, &theirs), "{format}");
    }
}

#[test]
fn set_role_does_not_leak_into_the_next_script() {
    let database = Server::shared().database();
    let directory = directory(&[
        ("1_a.sql", "CREATE ROLE eve SUPERUSER; SET SESSION AUTHORIZATION eve; CREATE TABLE a ()"),
        ("2_b.sql", "SET ROLE eve; CREATE TABLE b ()"),
        ("3_c.sql", "CREATE TABLE c ()"),
    ]);
    premain("sql", &database, directory.path()).code(0);
    let owners = "SELECT string_agg(tableowner, ' ' ORDER BY tablename) FROM pg_tables WHERE tablename IN ('a', 'b', 'c')";
    assert_eq!(database.psql(owners), "eve eve postgres");
    database.psql("DROP OWNED BY eve; DROP ROLE eve");
}

#[test]
fn a_byte_order_mark_is_accepted_and_part_of_the_checksum() {
    for format in FORMATS {
        let directory = scripts(format, &["\u{feff}CREATE TABLE a ()"]);
        let (ours, theirs) = (Server::shared().database(), Server::shared().database());
        premain(format, &ours, directory.path()).code(0);
        let before = ours.dump();
        native(format, &ours, directory.path()).unwrap();
        assert_eq!(ours.dump(), before, "{format}");
        // To the tools' server it is a syntax error.
        native(format, &theirs, directory.path()).unwrap_err();
    }
}

#[test]
fn a_new_enum_value_cannot_be_used_in_its_own_migration() {
    for format in FORMATS {
        let directory = scripts(
            format,
            &[
                "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood)",
                "ALTER TYPE mood ADD VALUE 'happy';\nINSERT INTO t VALUES ('happy')",
            ],
        );
        let (ours, theirs) = (Server::shared().database(), Server::shared().database());
        premain(format, &ours, directory.path())
            .code(76)
            .says(if format == "dbmate" { ":3:23: " } else { ":2:23: " })
            .says("unsafe use of new value \"happy\" of enum type mood (55P04")
            .says("New enum values must be committed before they can be used")
            .says("was kept");
        native(format, &theirs, directory.path()).unwrap_err();
        assert!(!ours.psql("SELECT enum_range(NULL::mood)").contains("happy"), "{format}");
    }
}

#[test]
fn unusual_names_of_prisma_migrations_are_accepted() {
    let names = ["1 first", "2_second.sql", "3_größe", "9_i", "100_j"];
    let files = names.map(|name| format!("{name}/migration.sql"));
    let files = files.each_ref().map(|name| (name.as_str(), "SELECT 1"));
    let directory = directory(&files);
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    premain("prisma", &ours, directory.path()).code(0).says("(prisma, 5 files)");
    native("prisma", &theirs, directory.path()).unwrap();
    let order =
        "SELECT string_agg(migration_name, '|' ORDER BY started_at) FROM _prisma_migrations";
    assert_eq!(ours.psql(order), theirs.psql(order));
    premain("prisma", &theirs, directory.path()).code(0).says("none pending");
}
