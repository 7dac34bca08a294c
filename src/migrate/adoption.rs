//! A database that has tables and no history of ours: refused, with the name of the tool that
//! managed it until now, and adopted by recording what is there already.

use std::fmt;
use std::path::PathBuf;

use super::Key;
use super::engine::{Say, judge, read};
use super::error::Error;
use super::ledger::{self, Ledger, literal};
use super::lock;
use super::settings::{Format, Resolution, Settings};
use super::source::{Migration, Order, Script, Source};
use crate::database::{Rows, Session};
use crate::text;

/// The history tables of the tools that may have managed a database until now. Of two with the same
/// table, the one whose second table or column is there as well comes first.
const TOOLS: [(&str, &str, &str); 18] = [
    ("Alembic", "alembic_version", ""),
    ("Atlas", "atlas_schema_revisions", ""),
    ("Diesel", "__diesel_schema_migrations", ""),
    ("Django", "django_migrations", ""),
    ("Drizzle", "__drizzle_migrations", ""),
    ("Flyway", "flyway_schema_history", ""),
    ("goose", "goose_db_version", ""),
    ("Knex", "knex_migrations", ""),
    ("Liquibase", "databasechangelog", ""),
    ("node-pg-migrate", "pgmigrations", ""),
    ("premain", "premain_migrations", ""),
    ("Prisma", "_prisma_migrations", ""),
    ("refinery", "refinery_schema_history", ""),
    ("Rails", "schema_migrations", "ar_internal_metadata"),
    ("golang-migrate", "schema_migrations", "schema_migrations.dirty"),
    ("dbmate", "schema_migrations", ""),
    ("Sequelize", "SequelizeMeta", ""),
    ("sqlx", "_sqlx_migrations", ""),
];

/// What there is in a database without a history table.
#[derive(Debug, PartialEq, Eq)]
pub struct Inhabited {
    /// The history table that is not there.
    pub ledger: String,
    /// How many tables of the user's there are.
    pub tables: usize,
    /// The tool that managed it until now, and its history table.
    pub tool: Option<(&'static str, String)>,
    /// The revision that this tool recorded last, where that is known.
    pub revision: Option<String>,
}

impl fmt::Display for Inhabited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inhabited { ledger, tables, tool, revision } = self;
        let tables = text::count(*tables, "table");
        write!(f, "the database has {tables} and no history table {ledger}")?;
        if let Some((tool, table)) = tool {
            write!(f, "; until now {tool} managed it ({table}")?;
            if let Some(revision) = revision {
                write!(f, ", revision {revision}")?;
            }
            f.write_str(")")?;
            if let Some((_, format)) = PREMAIN_READS.iter().find(|(reads, _)| reads == tool) {
                f.write_str(", whose history premain continues")?;
                match format {
                    Some(format) => write!(f, " with --format {format} --history-table '{table}'")?,
                    None => f.write_str(": see --migrations, --format and --history-table")?,
                }
            }
        }
        f.write_str(
            "\nno migration was applied; 'premain baseline VERSION' records the migrations up to that one as applied, \
             without running them; 'premain baseline none' records none, so that all of them run on what is there",
        )
    }
}

/// The tools whose history tables are read here, and their formats where a folder does not tell them.
const PREMAIN_READS: [(&str, Option<Format>); 9] = [
    ("dbmate", Some(Format::Dbmate)),
    ("Drizzle", None),
    ("Flyway", Some(Format::Flyway)),
    ("golang-migrate", Some(Format::GolangMigrate)),
    ("goose", Some(Format::Goose)),
    ("premain", None),
    ("Prisma", None),
    ("refinery", None),
    ("sqlx", Some(Format::Sqlx)),
];

/// Whether the history table is there by now; fails if it is not, and other tables are. To be asked under
/// the lock only: another replica may be at work.
///
/// # Errors
/// [`Error::Inhabited`]
pub async fn check(session: &Session, ledger: &dyn Ledger) -> Result<bool, Error> {
    let names: Vec<_> =
        TOOLS.iter().flat_map(|(_, one, other)| [literal(one), literal(other)]).collect();
    // The tables of extensions (spatial_ref_sys) are nobody's.
    let sql = format!(
        "SELECT pg_catalog.to_regclass({}) IS NOT NULL; \
         SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (pg_catalog.current_schemas(false)) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                           AND d.objid = c.oid AND d.deptype = 'e'); \
         SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), known.name \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
         LATERAL (SELECT c.relname::text UNION ALL SELECT pg_catalog.concat(c.relname, '.', a.attname) \
                  FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) known (name) \
         WHERE c.relkind IN ('r', 'p') AND known.name IN ({})",
        literal(ledger.table()),
        names.join(", ")
    );
    let results =
        session.query(&sql).await.map_err(Error::refused("ask which tables there are"))?;
    let [exists, count, known] = results.as_slice() else { return Ok(false) };
    let value = |rows: &Rows| rows.first().and_then(|row| row.first().cloned().flatten());
    let tables = value(count).and_then(|count| count.parse().ok()).unwrap_or(0);
    let exists = value(exists).as_deref() == Some("t");
    if tables == 0 || exists {
        return Ok(exists);
    }
    let find = |name: &str| {
        let row = known.iter().find(|row| row.get(1).and_then(Option::as_deref) == Some(name))?;
        row.first().cloned().flatten()
    };
    let tool = TOOLS.iter().find_map(|(tool, table, other)| {
        let table = find(table)?;
        (other.is_empty() || find(other).is_some()).then_some((*tool, table))
    });
    // Alembic knows one thing more, which tells the VERSION to people.
    let revision = match &tool {
        Some(("Alembic", table)) => {
            let sql = format!("SELECT pg_catalog.string_agg(version_num, ', ') FROM {table}");
            let rows = session.query(&sql).await.unwrap_or_default();
            rows.first().and_then(value)
        }
        _ => None,
    };
    let ledger = ledger.table().to_owned();
    Err(Error::Inhabited(Inhabited { ledger, tables, tool, revision }))
}

/// Records what is pending up to `until` (all of it where there is none) as applied, and runs
/// nothing. Returns what was recorded.
///
/// # Errors
/// [`Error`]; nothing was recorded then.
pub async fn baseline(
    session: &Session,
    source: &Source,
    config: &Settings,
    until: Option<&str>,
) -> Result<Vec<String>, Error> {
    let count = match until {
        None => source.migrations.len(),
        Some("none") => 0,
        Some(text) => {
            match source.migrations.iter().position(|file| is_called(&file.key, &file.name, text)) {
                Some(at) => at + 1,
                None => {
                    return Err(Error::NoSuchMigration {
                        wanted: text.to_owned(),
                        source: source.to_string(),
                    });
                }
            }
        }
    };
    let mut ledger = ledger::of(source.format, config);
    lock::acquire(session, ledger.native_locks(), config.lock_timeout).await?;
    let recorded = read(session, source, ledger.as_mut()).await?;
    let plan = judge(
        source,
        recorded.as_deref().unwrap_or_default(),
        ledger.as_ref(),
        config,
        Say::Everything,
    )?;
    let records: Vec<_> = source.migrations[..count]
        .iter()
        .filter(|file| plan.pending.iter().any(|pending| pending == file))
        .collect();
    let mut statements = Vec::new();
    if !records.is_empty() {
        statements.extend_from_slice(ledger.upgrade());
    }
    for migration in &records {
        statements.push(ledger.baseline(migration)?);
    }
    amend(session, ledger.as_ref(), recorded.is_some(), statements).await?;
    Ok(records.iter().map(ToString::to_string).collect())
}

/// Says in the history table how a migration stands; returns which. What failed halfway is recorded as
/// applied, or taken back so that it is pending again; what is pending may be recorded as applied.
///
/// # Errors
/// [`Error`]; nothing was changed then.
pub async fn resolve(
    session: &Session,
    source: &Source,
    config: &Settings,
    resolution: &Resolution,
) -> Result<String, Error> {
    let (Resolution::Applied(wanted) | Resolution::RolledBack(wanted)) = resolution;
    let mut ledger = ledger::of(source.format, config);
    lock::acquire(session, ledger.native_locks(), config.lock_timeout).await?;
    let recorded = read(session, source, ledger.as_mut()).await?;
    let rows = recorded.as_deref().unwrap_or_default();
    let row = rows.iter().rfind(|row| is_called(&row.key, &row.name, wanted));
    let file = source.migrations.iter().find(|file| is_called(&file.key, &file.name, wanted));
    let failed = row.is_some_and(|row| row.failure.is_some());
    let unresolvable = |migration: String, why| Error::Unresolvable { migration, why };
    let mut statements = Vec::new();
    let resolved = match (resolution, file, row) {
        (_, None, None) => {
            return Err(Error::NoSuchMigration {
                wanted: wanted.clone(),
                source: source.to_string(),
            });
        }
        (_, _, Some(row)) if !failed => {
            let why = match resolution {
                Resolution::Applied(_) => "it is recorded as applied already",
                Resolution::RolledBack(_) => {
                    "it did not fail, it is applied; to undo it, run 'premain rollback'"
                }
            };
            return Err(unresolvable(row.to_string(), why));
        }
        (Resolution::Applied(_), None, Some(row)) => {
            let why = "it has no file here, of which to record the checksum; run this where it has";
            return Err(unresolvable(row.to_string(), why));
        }
        (Resolution::RolledBack(_), Some(file), None) => {
            let why = "it is not recorded at all, and so it is pending already";
            return Err(unresolvable(file.to_string(), why));
        }
        (Resolution::Applied(_), Some(file), row) => {
            statements.extend_from_slice(ledger.upgrade());
            if row.is_some() {
                statements.push(ledger.unrecord(file)?);
            }
            statements.push(ledger.baseline(file)?);
            file.to_string()
        }
        (Resolution::RolledBack(_), file, Some(row)) => {
            let gone = Migration {
                key: row.key.clone(),
                name: row.name.clone(),
                order: Order::Strict,
                up: Script::whole(PathBuf::new(), String::new()),
                down: None,
            };
            statements.push(ledger.unrecord(file.unwrap_or(&gone))?);
            row.to_string()
        }
    };
    amend(session, ledger.as_ref(), recorded.is_some(), statements).await?;
    Ok(resolved)
}

/// Changes the history table, all or nothing; creates it where it does not exist.
async fn amend(
    session: &Session,
    ledger: &dyn Ledger,
    exists: bool,
    changes: Vec<String>,
) -> Result<(), Error> {
    // A history table without rows would be an adopted database too.
    let mut statements = vec!["BEGIN".to_owned()];
    if !exists {
        statements.extend(session.schema().map(ledger::create_schema));
        statements.extend(ledger.create());
    }
    statements.extend(changes);
    statements.push("COMMIT".to_owned());
    let what = format!("record in the history table {}", ledger.table());
    session.execute(&statements.join("; ")).await.map_err(Error::refused(what))
}

/// `3`, `1.2`, `add_orders` or `3 add_orders`: the number, the name, or both as they are printed.
pub(super) fn is_called(key: &Key, name: &str, text: &str) -> bool {
    let number = text.parse().ok();
    let said = [name, &key.to_string(), &key.title(name)].contains(&text);
    said || (number.is_some() && key.number() == number)
}
