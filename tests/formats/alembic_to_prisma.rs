//! From Alembic to Prisma, with the database of the Neuroagent example: made by Alembic's 14 revisions,
//! baselined as Prisma's `0_init`, and read by the Python backend before and after.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::node;
use crate::support::postgres::{Database, Server};
use crate::support::premain::{Ended, migrate, premain};

const HEAD: &str = "cd5a73ea91db";

/// The directory of the example in `docker/neuroagent`.
fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/neuroagent/prisma/migrations")
}

/// The database that Alembic made; `tests/fixtures/neuroagent/make` made the dump.
fn alembic_s() -> Database<'static> {
    let dump = "tests/fixtures/neuroagent/alembic.dump.sql";
    let dump = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(dump)).unwrap();
    let database = Server::shared().database();
    database.psql(&dump);
    database
}

fn adopted() -> Database<'static> {
    let database = alembic_s();
    baseline(&database).code(0);
    database
}

fn baseline(database: &Database<'_>) -> Ended {
    premain(["baseline", "0_init", "--migrations"])
        .with(migrations())
        .database(database.url())
        .run()
}

fn up(database: &Database<'_>) -> Ended {
    migrate(&migrations()).database(database.url()).run()
}

/// The schema as the catalogs tell it.
fn schema(database: &Database<'_>) -> String {
    [
        "SELECT table_name, ordinal_position, column_name, udt_name, is_nullable, column_default, \
         character_maximum_length, datetime_precision \
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE connamespace = 'public'::regnamespace ORDER BY 1::text, 2",
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT enumtypid::regtype, enumlabel FROM pg_enum ORDER BY enumtypid::regtype::text, enumsortorder",
    ]
    .map(|what| database.psql(what))
    .join("\n\n")
}

/// What the Python backend asks, column by column as SQLAlchemy does, and what it gets.
#[track_caller]
fn the_old_backend_works(database: &Database<'_>) {
    let thread = "123e4567-e89b-12d3-a456-426614174000";
    for (sql, rows) in [
        ("SELECT version_num FROM alembic_version".to_owned(), HEAD),
        (
            format!(
                "SELECT m.message_id, m.creation_date, m.content, m.thread_id, m.entity, m.is_complete, m.search_vector \
                 FROM messages m WHERE m.thread_id = '{thread}' AND m.entity = 'USER' ORDER BY m.creation_date"
            ),
            "00000000-0000-4000-8000-000000000001|2024-11-05 09:00:00+00|\
             {\"role\": \"USER\", \"content\": \"Which neurons are in the thalamus?\"}|\
             123e4567-e89b-12d3-a456-426614174000|USER|t|'neuron':2 'thalamus':6",
        ),
        (
            "SELECT t.title FROM threads t JOIN messages m USING (thread_id) \
             WHERE m.search_vector @@ plainto_tsquery('english', 'relay cell')"
                .to_owned(),
            "Morphologies of the thalamus",
        ),
        (
            "SELECT c.tool_call_id, c.name, c.arguments, c.validated, c.message_id FROM tool_calls c".to_owned(),
            "call_1|get_morphologies|{\"region\": \"thalamus\"}|t|00000000-0000-4000-8000-000000000002",
        ),
        (
            "SELECT c.reasoning, n.task, n.type, n.count FROM complexity_estimation c \
             JOIN token_consumption n USING (message_id)"
                .to_owned(),
            "HIGH|CALL_WITHIN_TOOL|COMPLETION|42",
        ),
        (
            format!(
                "INSERT INTO messages (message_id, creation_date, content, thread_id, entity, is_complete) VALUES \
                 (gen_random_uuid(), now(), '{{\"content\": \"A purkinje cell\"}}', '{thread}', 'AI_MESSAGE', true) \
                 RETURNING search_vector"
            ),
            "'cell':3 'purkinj':2",
        ),
    ] {
        assert_eq!(database.psql(&sql), rows, "{sql}");
    }
    database.psql("DELETE FROM messages WHERE content ~ 'purkinje'");
}

/// Whether Prisma's own engine finds the history whole, and nothing to do.
#[track_caller]
fn prisma_agrees(database: &Database<'_>) {
    let status = node::prisma("status", database, &migrations(), "").unwrap();
    for fact in [
        "\"history\":null",
        "\"failedMigrationNames\":[]",
        "\"editedMigrationNames\":[]",
        "\"hasMigrationsTable\":true",
    ] {
        assert!(status.contains(fact), "no {fact} in {status}");
    }
    assert!(node::prisma("apply", database, &migrations(), "").unwrap().contains(":[]"));
}

#[test]
fn alembic_is_named_with_its_revision_and_nothing_changes() {
    let database = alembic_s();
    let before = database.dump();
    premain(["--migrations"])
        .with(migrations())
        .words(["echo", "started"])
        .database(database.url())
        .run()
        .code(65)
        .says("has 7 tables and no history table _prisma_migrations")
        .says(&format!("until now Alembic managed it (public.alembic_version, revision {HEAD})"))
        .says("premain baseline");
    assert_eq!(database.dump(), before);
}

#[test]
fn the_baseline_is_recorded_and_later_migrations_are_applied() {
    let database = alembic_s();
    baseline(&database)
        .code(0)
        .says("migration 0_init recorded as applied, without running it")
        .says("1 of 4 recorded");
    the_old_backend_works(&database);
    up(&database)
        .code(0)
        .says("3 of 4 pending")
        .says("migration 20260112093015_reasoning_xhigh applied in")
        .says("migration 20260112093142_rating_and_default applied in")
        .says("migration 20260203140501_search_threads applied in");
    for (sql, rows) in [
        ("SELECT enum_range(NULL::reasoninglevels)", "{NONE,MINIMAL,LOW,MEDIUM,HIGH,XHIGH}"),
        ("SELECT enum_range(NULL::rating)", "{UP,DOWN}"),
        // Titles of before the trigger, and one of after it.
        (
            "INSERT INTO threads (thread_id, title, creation_date, update_date, user_id) \
             VALUES (gen_random_uuid(), 'The thalamus again', now(), now(), gen_random_uuid()); \
             SELECT count(*) FROM threads WHERE search_vector @@ to_tsquery('english', 'thalamus')",
            "2",
        ),
        (
            "INSERT INTO complexity_estimation (id, model, message_id) \
             SELECT gen_random_uuid(), 'large', message_id FROM messages LIMIT 1 RETURNING reasoning",
            "XHIGH",
        ),
    ] {
        assert_eq!(database.psql(sql), rows, "{sql}");
    }
    database.psql("DELETE FROM complexity_estimation WHERE model = 'large'");
    the_old_backend_works(&database);
    prisma_agrees(&database);
    up(&database).code(0).says("none pending (4 applied before)");
}

#[test]
fn the_baseline_file_describes_alembics_schema() {
    let (adopted, new) = (adopted(), Server::shared().database());
    up(&adopted).code(0);
    up(&new).code(0).says("migrations 4 applied");
    assert_eq!(schema(&adopted), schema(&new));
    prisma_agrees(&new);
}

#[test]
fn premain_and_prisma_record_the_same_baseline() {
    let (ours, theirs) = (adopted(), alembic_s());
    node::prisma("applied", &theirs, &migrations(), "0_init").unwrap();
    up(&ours).code(0);
    node::prisma("apply", &theirs, &migrations(), "").unwrap();
    let rows = "SELECT migration_name, checksum, logs, rolled_back_at, applied_steps_count, finished_at IS NULL \
         FROM _prisma_migrations ORDER BY started_at";
    assert_eq!(ours.psql(rows), theirs.psql(rows));
}

#[test]
fn down_sql_restores_alembics_schema() {
    let database = adopted();
    let before = schema(&database);
    up(&database).code(0);
    let rollback = |words: &[&str]| {
        premain(["rollback", "--yes", "--migrations"])
            .with(migrations())
            .words(words)
            .database(database.url())
            .run()
            .code(0)
    };
    rollback(&[]).says("migration 20260203140501_search_threads rolled back in");
    the_old_backend_works(&database);
    rollback(&["--to", "0_init"])
        .says("migration 20260112093142_rating_and_default rolled back in")
        .says("migration 20260112093015_reasoning_xhigh rolled back in");
    assert_eq!(schema(&database), before);
    the_old_backend_works(&database);
    // Prisma takes them for pending, and so does premain.
    assert!(
        node::prisma("apply", &database, &migrations(), "").unwrap().contains("search_threads")
    );
    up(&database).code(0).says("none pending (4 applied before)");
    prisma_agrees(&database);
}
