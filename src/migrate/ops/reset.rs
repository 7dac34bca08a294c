//! Emptying a database, for `premain reset`.
//!
//! Objects are dropped one by one rather than by DROP DATABASE: that needs no other privilege than their ownership, and keeps
//! what an administrator set up: the settings and grants of the database and of its schemas, and its extensions. Schemas and
//! extensions are dropped only if a migration creates them, because it would fail if they existed.

use crate::database::{Rows, Session};
use crate::migrate::error::Error;
use crate::migrate::migrator::Log;
use crate::migrate::run::lock::{self, Lock};
use crate::migrate::run::message::settings as session_settings;
use crate::migrate::run::{check, survey};
use crate::migrate::settings::Settings;
use crate::migrate::source::Source;
use crate::migrate::sql::quoting::{literal, quote};
use crate::migrate::sql::splitter::{self, Token};
use crate::migrate::unmanaged;

/// So many objects are dropped or emptied in one transaction, which holds several locks for each of them. The server has
/// room for about 6,400 locks.
const BATCH: usize = 250;

/// What is dropped: the class and the id of each object, and the stage in which it is dropped. Event triggers come first, since
/// they could reject the rest; a table before the table that it is a partition or a child of, so that no single statement needs
/// a lock for each of 10,000 partitions.
///
/// Objects of a schema, except those that belong to an extension or to another object. (A partitioned table depends on itself.)
/// Objects outside of the schemas only if this role owns them: others were most likely set up by an administrator.
const OBJECTS: &str = "\
    SELECT d.classid, d.objid, CASE WHEN d.classid <> 'pg_catalog.pg_class'::pg_catalog.regclass THEN 3 \
           WHEN EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = d.objid) THEN 2 ELSE 1 END AS stage \
    FROM pg_catalog.pg_depend d \
    JOIN pg_catalog.pg_namespace n ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = n.oid \
    WHERE d.deptype = 'n' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
      AND d.classid <> 'pg_catalog.pg_default_acl'::pg_catalog.regclass AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p WHERE (p.classid, p.objid) = (d.classid, d.objid) AND p.deptype IN ('e', 'i') \
                      AND (p.refclassid, p.refobjid) <> (p.classid, p.objid)) \
    UNION ALL \
    SELECT o.classid, o.objid, o.stage FROM ( \
        SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, oid, evtowner, 0 FROM pg_catalog.pg_event_trigger \
        UNION ALL SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, oid, pubowner, 4 FROM pg_catalog.pg_publication \
        UNION ALL SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, oid, srvowner, 4 FROM pg_catalog.pg_foreign_server \
        UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, oid, fdwowner, 5 FROM pg_catalog.pg_foreign_data_wrapper \
        UNION ALL SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, oid, lanowner, 5 FROM pg_catalog.pg_language \
        UNION ALL SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass, oid, lomowner, 5 FROM pg_catalog.pg_largeobject_metadata \
        UNION ALL SELECT 'pg_catalog.pg_cast'::pg_catalog.regclass, oid, 10, 5 FROM pg_catalog.pg_cast WHERE oid >= 16384 \
        UNION ALL SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, oid, 10, 5 FROM pg_catalog.pg_am \
    ) o (classid, objid, owner, stage) \
    WHERE (o.objid >= 16384 OR o.classid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass) AND pg_catalog.pg_has_role(o.owner, 'USAGE') \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p WHERE (p.classid, p.objid) = (o.classid, o.objid) AND p.deptype = 'e')";

/// Drops `object`, unless it was dropped with another one. `DROP ROUTINE` is also for aggregates without arguments, whose
/// identity is not what DROP AGGREGATE accepts.
const DROP: &str = "\
    IF object.classid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass THEN PERFORM pg_catalog.lo_unlink(object.objid); \
    ELSE SELECT * INTO named FROM pg_catalog.pg_identify_object(object.classid, object.objid, 0); \
        IF named.identity IS NOT NULL THEN \
            EXECUTE pg_catalog.format('DROP %s %s CASCADE', CASE named.type WHEN 'function' THEN 'ROUTINE' WHEN 'aggregate' THEN 'ROUTINE' \
                WHEN 'statistics object' THEN 'STATISTICS' WHEN 'foreign-data wrapper' THEN 'FOREIGN DATA WRAPPER' ELSE named.type END, named.identity); \
        END IF; \
    END IF;";

/// Checks what a start would reject after the database is empty, and takes the migration lock.
///
/// # Errors
/// [`Error`]
pub(crate) async fn prepare(
    session: &Session,
    source: Option<&Source>,
    settings: &Settings,
) -> Result<(), Error> {
    let table =
        source.map(|source| (source.format.tool().history_table)(settings.history_table.as_ref()));
    if let (Some(source), Some(table)) = (source, &table) {
        check(source, &source.migrations.iter().collect::<Vec<_>>(), Log::Nothing)?;
        survey(source.migrations.iter().map(|migration| &migration.up), session)?;
        for migration in &source.migrations {
            table.record(migration)?;
        }
        reject_roles(session, source).await?;
    }
    let native = table.map(|table| table.native_locks()).unwrap_or_default();
    lock::acquire(session, &Lock::new(native), settings.lock_timeout).await
}

/// Drops everything in `session`'s database, in one transaction if that is not too much for one. Returns the number of objects.
///
/// # Errors
/// [`Error`]
pub(crate) async fn drop_everything(
    session: &Session,
    source: Option<&Source>,
    settings: &Settings,
) -> Result<usize, Error> {
    let drops: String =
        source.map(all_created).unwrap_or_default().iter().map(drop_created).collect();
    let batch = |commit: &str| {
        format!(
            "DO $premain$ DECLARE object record; named record; BEGIN LOOP \
             FOR object IN {OBJECTS} ORDER BY stage, objid LIMIT {BATCH} LOOP {DROP} END LOOP; EXIT WHEN NOT FOUND; {commit} \
             END LOOP; {drops} END $premain$"
        )
    };
    in_batches(session, settings, OBJECTS, batch).await
}

/// The statement that drops what a migration creates, if it exists.
fn drop_created((kind, name): &(Created, String)) -> String {
    let (kind, catalog, column) = match kind {
        Created::Schema => ("SCHEMA", "pg_namespace", "nspname"),
        Created::Extension => ("EXTENSION", "pg_extension", "extname"),
        Created::Role => return String::new(),
    };
    // `public` keeps its initial grants.
    format!(
        "IF EXISTS (SELECT FROM pg_catalog.{catalog} WHERE {column} = {0}) AND {0} <> 'public' \
         THEN EXECUTE {1}; END IF; ",
        literal(name),
        literal(&format!("DROP {kind} {} CASCADE", quote(name)))
    )
}

/// Empties every table in `session`'s database except history tables, and restarts every sequence. Returns the number of
/// tables.
///
/// # Errors
/// [`Error`]
pub(crate) async fn empty_tables(
    session: &Session,
    source: &Source,
    settings: &Settings,
) -> Result<usize, Error> {
    let history_table = (source.format.tool().history_table)(settings.history_table.as_ref());
    let kept: Vec<_> = unmanaged::history_tables().map(literal).collect();
    let relations = |kinds: &str| {
        format!(
            "SELECT c.oid, c.relkind, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ({kinds}) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
               AND c.oid IS DISTINCT FROM pg_catalog.to_regclass({})::pg_catalog.oid AND c.relname <> ALL (ARRAY[{}]) \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p WHERE p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                               AND p.objid = c.oid AND p.deptype = 'e')",
            literal(history_table.name()),
            kept.join(", ")
        )
    };
    let (tables, rest) = (relations("'r', 'p'"), relations("'S', 'm'"));
    let batch = |commit: &str| {
        format!(
            "DO $premain$ DECLARE o record; n int := 0; BEGIN \
             FOR o IN SELECT * FROM ({tables}) t ORDER BY EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = t.oid), t.oid \
             LOOP EXECUTE pg_catalog.format('TRUNCATE %s RESTART IDENTITY CASCADE', o.name); \
                 n := n + 1; IF n % {BATCH} = 0 THEN {commit} END IF; END LOOP; \
             FOR o IN SELECT * FROM ({rest}) t WHERE t.relkind = 'm' OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                     WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype IN ('a', 'i') \
                     AND d.refclassid = d.classid) ORDER BY t.oid \
             LOOP EXECUTE CASE o.relkind WHEN 'm' THEN pg_catalog.concat('REFRESH MATERIALIZED VIEW ', o.name) \
                 ELSE pg_catalog.format('ALTER SEQUENCE %s RESTART', o.name) END; END LOOP; \
             PERFORM pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE pg_catalog.pg_has_role(lomowner, 'USAGE'); \
             END $premain$"
        )
    };
    in_batches(session, settings, &tables, batch).await
}

/// Runs `batch`, a block that works on what `select` finds and has a place for a COMMIT after each batch. Returns how much
/// there was.
async fn in_batches(
    session: &Session,
    settings: &Settings,
    select: &str,
    batch: impl Fn(&str) -> String,
) -> Result<usize, Error> {
    let failed = || Error::statement("empty the database");
    let lock_timeout = settings.ddl_lock_timeout.unwrap_or_default();
    let before = format!(
        "SET client_min_messages = warning; {}; SELECT count(*) FROM ({select}) objects; \
         SELECT pg_catalog.string_agg(pg_catalog.quote_ident(subname), ', ') FROM pg_catalog.pg_subscription \
         JOIN pg_catalog.pg_database d ON d.oid = subdbid WHERE d.datname = pg_catalog.current_database()",
        session_settings(lock_timeout)
    );
    let results = session.query(&before).await.map_err(failed())?;
    let value = |at: usize| results.get(at).and_then(|rows| rows.first()?.first()?.clone());
    if let Some(subscriptions) = value(3) {
        return Err(Error::CannotEmpty(format!(
            "subscription {subscriptions} has a replication slot on another server; run DROP SUBSCRIPTION first"
        )));
    }
    let count = value(2).and_then(|count| count.parse().ok()).unwrap_or(0);
    let sql = match count <= BATCH {
        true => format!("BEGIN; {}; COMMIT", batch("")),
        false => batch("COMMIT;"),
    };
    session.execute(&sql).await.map_err(failed())?;
    Ok(count)
}

/// Fails if a migration creates a role that exists. Roles are not dropped: other databases of the server may use them.
async fn reject_roles(session: &Session, source: &Source) -> Result<(), Error> {
    let roles = all_created(source).into_iter().filter(|(kind, _)| *kind == Created::Role);
    let names: Vec<_> = roles.map(|(_, name)| literal(&name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(rolname), ', ') FROM pg_catalog.pg_roles WHERE rolname IN ({})",
        names.join(", ")
    );
    let rows = session.query(&sql).await.map_err(Error::statement("list the roles"))?;
    match rows.first().and_then(|rows| rows.first()?.first()?.clone()) {
        None => Ok(()),
        Some(roles) => Err(Error::CannotEmpty(format!(
            "a migration creates role {roles}, which exists and is not dropped, because other databases may use it; \
             let the migration create it only if it does not exist"
        ))),
    }
}

/// Ends the other sessions in this database, as `DROP DATABASE … WITH (FORCE)` does: an application that idles in a
/// transaction would block the reset for ever.
pub(crate) async fn end_others(session: &Session) -> Result<usize, Error> {
    let sql = "SELECT count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a \
               WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
                 AND a.backend_type = 'client backend' AND pg_catalog.pg_has_role(a.usesysid, 'MEMBER')";
    let rows: Vec<Rows> =
        session.query(sql).await.map_err(Error::statement("end the other sessions"))?;
    let count = rows.first().and_then(|rows| rows.first()?.first()?.as_deref()?.parse().ok());
    Ok(count.unwrap_or(0))
}

/// The kind of object that a migration creates, and would fail on if it existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Created {
    Schema,
    Extension,
    Role,
}

/// The schemas, extensions and roles that the migrations create without IF NOT EXISTS.
fn all_created(source: &Source) -> Vec<(Created, String)> {
    // A large file holds data, not a schema.
    let texts = source.migrations.iter().filter_map(|migration| migration.up.sql.in_memory());
    texts.flat_map(created_by).collect()
}

fn created_by(sql: &str) -> Vec<(Created, String)> {
    let mut found = Vec::new();
    let tokens: Vec<(Token, &str)> =
        splitter::tokens(sql).map(|(token, range)| (token, &sql[range])).collect();
    for three in tokens.windows(3) {
        let [(Token::Word, create), (Token::Word, kind), (token, name)] = three else { continue };
        let kind = match kind.to_ascii_uppercase().as_str() {
            "SCHEMA" => Created::Schema,
            "EXTENSION" => Created::Extension,
            "ROLE" | "USER" => Created::Role,
            _ => continue,
        };
        let is_name = match token {
            Token::Word => !["IF", "AUTHORIZATION", "MAPPING"]
                .iter()
                .any(|word| name.eq_ignore_ascii_case(word)),
            Token::Name => true,
            _ => false,
        };
        if create.eq_ignore_ascii_case("CREATE") && is_name {
            let name = match token {
                Token::Name => name.trim_matches('"').replace("\"\"", "\""),
                _ => name.to_lowercase(),
            };
            found.push((kind, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_without_if_not_exists_is_found() {
        let sql = "CREATE USER MAPPING FOR x SERVER y; CREATE ROLE App; CREATE SCHEMA app; create extension \"uuid-ossp\" SCHEMA app;\n-- CREATE SCHEMA no\n\
                   CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE SCHEMA IF NOT EXISTS x; SELECT 'CREATE SCHEMA y'";
        let app = (Created::Schema, "app".to_owned());
        let uuid = (Created::Extension, "uuid-ossp".to_owned());
        let role = (Created::Role, "app".to_owned());
        assert_eq!(created_by(sql), [role, app, uuid]);
    }
}
