//! Flyway and premain take turns on one database, and neither notices the other.
//!
//! The tests have no package of the tool; in its place they run the statements of its
//! source (`PostgreSQLDatabase`, `JdbcTableSchemaHistory`), and checksums that Java's own `CRC32` made.

use std::path::Path;

use crate::support::directory;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, premain, waits_for_lock};

const FILES: [(&str, &str); 4] = [
    ("V1.2__the_first.sql", "CREATE TABLE a (id int);\n"),
    ("V1_10__b.sql", "\u{feff}CREATE TABLE b (id int);\r\nINSERT INTO b VALUES (1);\r\n"),
    ("R__views.sql", "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;\n"),
    ("R__a_view_before.sql", "CREATE OR REPLACE VIEW w AS SELECT 1 AS one"),
];

/// Of the files, in the order in which they are applied.
const ROWS: [(&str, &str, &str, &str); 4] = [
    ("'1.2'", "the first", "V1.2__the_first.sql", "-623083431"),
    ("'1.10'", "b", "V1_10__b.sql", "914031549"),
    ("NULL", "a view before", "R__a_view_before.sql", "1372891706"),
    ("NULL", "views", "R__views.sql", "982419503"),
];

fn run(database: &Database<'_>, directory: &Path, words: &[&str]) -> Ended {
    premain(words).words(["--migrations"]).with(directory).database(database.url()).run()
}

fn migrate(database: &Database<'_>, directory: &Path) -> Ended {
    run(database, directory, &["migrate"])
}

/// `getRawCreateScript`
fn create(database: &Database<'_>) {
    database.psql(
        r#"CREATE TABLE "public"."flyway_schema_history" (
    "installed_rank" INT NOT NULL,
    "version" VARCHAR(50),
    "description" VARCHAR(200) NOT NULL,
    "type" VARCHAR(20) NOT NULL,
    "script" VARCHAR(1000) NOT NULL,
    "checksum" INTEGER,
    "installed_by" VARCHAR(100) NOT NULL,
    "installed_on" TIMESTAMP NOT NULL DEFAULT now(),
    "execution_time" INTEGER NOT NULL,
    "success" BOOLEAN NOT NULL
);
ALTER TABLE "public"."flyway_schema_history" ADD CONSTRAINT "flyway_schema_history_pk" PRIMARY KEY ("installed_rank");
CREATE INDEX "flyway_schema_history_s_idx" ON "public"."flyway_schema_history" ("success");"#,
    );
}

/// `getInsertStatement`
fn insert(database: &Database<'_>, rank: usize, row: (&str, &str, &str, &str), more: (&str, bool)) {
    let ((version, description, script, checksum), (kind, success)) = (row, more);
    database.psql(&format!(
        r#"INSERT INTO "public"."flyway_schema_history" ("installed_rank", "version", "description", "type", "script", "checksum", "installed_by", "execution_time", "success")
           VALUES ({rank}, {version}, '{description}', '{kind}', '{script}', {checksum}, current_user, 5, {success})"#
    ));
}

/// A dump in which times are alike; they are the only thing that may differ.
fn dump(database: &Database<'_>) -> String {
    database.psql("UPDATE flyway_schema_history SET installed_on = 'epoch', execution_time = 0");
    database.dump()
}

fn history(database: &Database<'_>) -> String {
    database.psql(
        "SELECT installed_rank, version, description, success FROM flyway_schema_history ORDER BY 1",
    )
}

#[test]
fn premain_leaves_the_same_database_as_flyway() {
    let (ours, theirs) = (Server::shared().database(), Server::shared().database());
    migrate(&ours, directory(&FILES).path())
        .code(0)
        .says(" (flyway, 4 files), history table flyway_schema_history")
        .says("migration V1.2__the_first applied in")
        .says("migration R__views applied in");
    create(&theirs);
    for (at, sql) in [FILES[0].1, &FILES[1].1[3..], FILES[3].1, FILES[2].1].iter().enumerate() {
        theirs.psql(sql);
        insert(&theirs, at + 1, ROWS[at], ("SQL", true));
    }
    assert_eq!(dump(&ours), dump(&theirs));
}

#[test]
fn premain_continues_where_flyway_stopped() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    create(&database);
    insert(
        &database,
        0,
        ("NULL", "<< Flyway Schema Creation >>", "\"app\"", "NULL"),
        ("SCHEMA", true),
    );
    database.psql(FILES[0].1);
    insert(&database, 1, ROWS[0], ("SQL", true));
    migrate(&database, place.path()).code(0).says("3 of 4 pending");
    migrate(&database, place.path()).code(0).says("none pending (4 applied before)");

    // `flyway repair` of what has no file any more; then the file comes back.
    insert(&database, 5, ROWS[1], ("DELETE", true));
    database.psql("DROP TABLE b");
    migrate(&database, place.path()).code(0).says("migration V1_10__b");
    assert!(history(&database).ends_with("5|1.10|b|t\n6|1.10|b|t"), "{}", history(&database));
}

#[test]
fn an_edited_repeatable_migration_runs_again() {
    let database = Server::shared().database();
    migrate(&database, directory(&FILES).path()).code(0);
    let mut files = FILES.to_vec();
    files[2].1 = "CREATE OR REPLACE VIEW v AS SELECT 1 AS one, 2 AS two;\n";
    files.push(("V2__later.sql", "CREATE TABLE later ()"));
    let place = directory(&files);
    migrate(&database, place.path()).code(0).says("2 of 5 pending");
    migrate(&database, place.path()).code(0).says("none pending");
    assert_eq!(database.psql("SELECT two FROM v"), "2");
    assert!(history(&database).ends_with("5|2|later|t\n6||views|t"), "{}", history(&database));
    // Without its file it is what an older image would find.
    migrate(&database, directory(&files[..2]).path()).code(0).says("is ahead of this image");
}

#[test]
fn a_baseline_covers_all_versions_up_to_it() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    create(&database);
    database.psql("CREATE TABLE a (id int)");
    let row = ("'1.2.0'", "<< Flyway Baseline >>", "<< Flyway Baseline >>", "NULL");
    insert(&database, 1, row, ("BASELINE", true));
    migrate(&database, place.path()).code(0).says("3 of 4 pending");
    migrate(&database, place.path()).code(0).says("none pending");
}

#[test]
fn premain_records_a_baseline() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    database.psql("CREATE TABLE a (id int)");
    migrate(&database, place.path()).code(65).says("premain baseline VERSION");
    run(&database, place.path(), &["baseline", "1.2"]).code(0);
    assert_eq!(history(&database), "1|1.2|the first|t");
    migrate(&database, place.path()).code(0).says("3 of 4 pending");
}

#[test]
fn drift_is_handled_as_flyway_does() {
    let database = Server::shared().database();
    migrate(&database, directory(&FILES).path()).code(0);
    let changed = |at: usize, file: (&'static str, &'static str)| {
        let mut files = FILES.to_vec();
        files[at] = file;
        migrate(&database, directory(&files).path())
    };
    changed(0, ("V1.2__the_first.sql", "SELECT 1;"))
        .code(65)
        .says("migration V1.2__the_first was edited");
    changed(0, ("V1.2__renamed.sql", FILES[0].1))
        .code(65)
        .says("migration V1.2__renamed was edited");
    changed(0, ("V1.2__the_first.sql", "CREATE TABLE a (id int);\r\n")).code(0);
    changed(0, ("R__z.sql", ""))
        .code(65)
        .says("migration V1.2__the_first is applied but has no file");
    changed(3, ("V1.9__late.sql", ""))
        .code(65)
        .says("migration V1.9__late is out of order: V1_10__b is already applied");
    migrate(&database, directory(&[FILES[0], FILES[2], FILES[3]]).path())
        .code(0)
        .says("is ahead of this image: migration V1_10__b");
}

#[test]
fn a_failed_migration_stops_until_it_is_resolved() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    create(&database);
    database.psql("CREATE TABLE a (id int)");
    insert(&database, 1, ROWS[0], ("SQL", false));
    migrate(&database, place.path())
        .code(65)
        .says("migration V1.2__the_first failed halfway")
        .says("premain resolve --applied 1.2");
    run(&database, place.path(), &["resolve", "--applied", "1.2"]).code(0);
    migrate(&database, place.path()).code(0).says("3 of 4 pending");

    let files = [FILES[0], FILES[1], ("V2__x.sql", "CREATE TABLE x ();\nVACUUM;\nSELECT nme;")];
    let place =
        directory(&[&files[..], &[("V2__x.sql.conf", "executeInTransaction=false\n")]].concat());
    migrate(&database, place.path()).code(65).says("V2__x.sql:3:8:");
    migrate(&database, place.path()).code(65).says("migration V2__x failed halfway");
    run(&database, place.path(), &["resolve", "--rolled-back", "2"]).code(0);
}

/// The key is worked out for `"public"."flyway_schema_history"`, as Java's `String.hashCode` has it.
#[test]
fn premain_waits_for_flyways_lock() {
    let database = Server::shared().database();
    let place = directory(&FILES);
    let migrate = premain(["migrate", "--migrations"]).with(place.path());
    waits_for_lock(&database, 77_433_833_903_597_i64, migrate).says("migrations 4 applied");
}

#[test]
fn undo_files_of_the_paid_edition_are_down_migrations() {
    let database = Server::shared().database();
    let place = directory(&[FILES[0], FILES[1], ("U1.10__b.sql", "DROP TABLE b")]);
    migrate(&database, place.path()).code(0);
    run(&database, place.path(), &["rollback", "--yes"]).code(0);
    assert_eq!(history(&database), "1|1.2|the first|t");
}

#[test]
fn invalid_directories_are_errors_before_anything_runs() {
    let begin = ("V1.1__a.sql", "SELECT 1;\n");
    for (files, text) in [
        (&[begin, ("V1_1_0__b.sql", "")][..], "both have version 1.1"),
        (&[begin, ("V2__B.java", "class")], "it is a migration in Java"),
        (
            &[begin, ("V1.1__a.sql.conf", "shouldExecute=false")],
            "does not know the setting 'shouldExecute'",
        ),
        (&[begin, ("001_x.sql", "")], "of two formats"),
    ] {
        premain(["migrate", "--migrations"])
            .with(directory(files).path())
            .database("postgres://x@127.0.0.1:1/x")
            .run()
            .code(65)
            .says(text);
    }
    // Of what is applied Flyway itself has the checksum with the placeholder in it.
    let database = Server::shared().database();
    let place = directory(&[begin, ("R__x.sql", "-- ä\nSELECT '${flyway:timestamp}';\n")]);
    migrate(&database, place.path())
        .code(65)
        .says("R__x.sql:2:9:")
        .says("Flyway replaces ${flyway:timestamp}");
    run(&database, place.path(), &["baseline"]).code(0);
    migrate(&database, place.path()).code(0);
}
