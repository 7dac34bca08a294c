//! Emptying a database, for `premain reset`.
//!
//! Objects are dropped one by one rather than by DROP DATABASE: that needs no other privilege than their ownership, and keeps
//! what an administrator set up: the settings and grants of the database and of its schemas, and its extensions. Schemas and
//! extensions are dropped only if a migration creates them, because it would fail if they existed.

use crate::database::{Rows, Session};
use crate::migrate::error::Error;
use crate::migrate::run::lock::{self, Lock};
use crate::migrate::settings::Settings;
use crate::migrate::source::Source;
use crate::migrate::sql::quoting::{literal, quote};
use crate::migrate::sql::splitter::{self, Token};

/// What `premain reset` removed.
#[derive(Debug)]
pub(crate) struct Emptied {
    /// How many objects were dropped, without those that CASCADE dropped with them.
    pub(crate) objects: usize,
    /// How many other sessions were ended.
    pub(crate) sessions: usize,
}

/// FROM and WHERE for the objects that belong neither to an extension nor to another object. (A partitioned table depends on
/// itself.)
const OBJECTS: &str = "FROM pg_catalog.pg_depend d \
    JOIN pg_catalog.pg_namespace n ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = n.oid \
    WHERE d.deptype = 'n' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
      AND d.classid <> 'pg_catalog.pg_default_acl'::pg_catalog.regclass AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p WHERE (p.classid, p.objid) = (d.classid, d.objid) AND p.deptype IN ('e', 'i') \
                      AND (p.refclassid, p.refobjid) <> (p.classid, p.objid))";

/// Drops everything in `session`'s database, in one transaction.
///
/// # Errors
/// [`Error`]; nothing was dropped then.
pub(crate) async fn drop_everything(
    session: &Session,
    source: Option<&Source>,
    settings: &Settings,
) -> Result<Emptied, Error> {
    let native = source.map(|source| {
        let tool = source.format.tool();
        (tool.history_table)(settings.history_table.as_ref()).native_locks()
    });
    let sessions = end_others(session).await?;
    lock::acquire(session, &Lock::new(native.unwrap_or_default()), settings.lock_timeout).await?;
    let mut drops = Vec::new();
    for (kind, name) in source.map(all_created).unwrap_or_default() {
        let (kind, catalog, column) = match kind {
            Created::Schema => ("SCHEMA", "pg_namespace", "nspname"),
            Created::Extension => ("EXTENSION", "pg_extension", "extname"),
        };
        // `public` keeps its initial grants.
        let drop = format!("DROP {kind} {} CASCADE", quote(&name));
        drops.push(format!(
            "IF EXISTS (SELECT FROM pg_catalog.{catalog} WHERE {column} = {0}) AND {0} <> 'public' \
             THEN EXECUTE {1}; END IF;",
            literal(&name),
            literal(&drop)
        ));
    }
    let failed = || Error::statement("drop what is in the database");
    let begin = format!(
        "SET client_min_messages = warning; SET lock_timeout = {}; BEGIN; SELECT count(*) {OBJECTS}",
        settings.ddl_lock_timeout.unwrap_or_default().as_millis()
    );
    let results = session.query(&begin).await.map_err(failed())?;
    let objects = results.iter().flatten().next();
    let objects = objects.and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0);
    let sql = format!(
        "DO $premain$ DECLARE o record; BEGIN {} LOOP \
         SELECT d.classid, d.objid INTO o {OBJECTS} \
         ORDER BY d.classid <> 'pg_catalog.pg_class'::pg_catalog.regclass, d.objid LIMIT 1; \
         EXIT WHEN NOT FOUND; \
         EXECUTE (SELECT pg_catalog.format('DROP %s %s CASCADE', i.type, i.identity) \
                  FROM pg_catalog.pg_identify_object(o.classid, o.objid, 0) i); \
         END LOOP; END $premain$; COMMIT",
        drops.join(" ")
    );
    session.execute(&sql).await.map_err(failed())?;
    Ok(Emptied { objects, sessions })
}

/// Ends the other sessions in this database, as `DROP DATABASE … WITH (FORCE)` does: an application that idles in a
/// transaction would block the reset for ever.
async fn end_others(session: &Session) -> Result<usize, Error> {
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
}

/// The schemas and extensions that the migrations create without IF NOT EXISTS.
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
            _ => continue,
        };
        let is_name = match token {
            Token::Word => {
                !["IF", "AUTHORIZATION"].iter().any(|word| name.eq_ignore_ascii_case(word))
            }
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
    fn schemas_and_extensions_without_if_not_exists_are_found() {
        let sql = "CREATE SCHEMA app; create extension \"uuid-ossp\" SCHEMA app;\n-- CREATE SCHEMA no\n\
                   CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE SCHEMA IF NOT EXISTS x; SELECT 'CREATE SCHEMA y'";
        let app = (Created::Schema, "app".to_owned());
        let uuid = (Created::Extension, "uuid-ossp".to_owned());
        assert_eq!(created_by(sql), [app, uuid]);
    }
}
