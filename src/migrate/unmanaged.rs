//! A database that contains tables but no history table: which tool managed it until now, and which command continues.

use std::fmt;

use super::formats::{Format, KnownBy};
use super::marks;
use super::prepared;
use super::sql::quoting::literal;
use crate::database::Rows;
use crate::text;

/// Tools whose history premain cannot continue: the name of the tool, its history table, and a second table or column that
/// distinguishes it from another tool with a table of the same name.
const FOREIGN: [(&str, &str, &str); 9] = [
    ("Alembic", "alembic_version", ""),
    ("Atlas", "atlas_schema_revisions", ""),
    ("Diesel", "__diesel_schema_migrations", ""),
    ("Django", "django_migrations", ""),
    ("Knex", "knex_migrations", ""),
    ("Liquibase", "databasechangelog", ""),
    ("node-pg-migrate", "pgmigrations", ""),
    ("Rails", "schema_migrations", "ar_internal_metadata"),
    ("Sequelize", "SequelizeMeta", ""),
];

/// A database that contains tables but no history table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unmanaged {
    /// The history table that does not exist.
    pub(crate) history_table: String,
    /// How many tables there are, without those of extensions.
    pub(crate) tables: usize,
    /// The tool that managed it until now.
    pub(crate) tool: Option<Manager>,
}

/// The tool that managed a database until now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    name: &'static str,
    /// Its history table, qualified and quoted.
    table: String,
    /// The format that continues its history; `None` if premain cannot continue it.
    format: Option<Format>,
    /// The revision that it recorded last, if it is known.
    pub(crate) revision: Option<String>,
}

/// A tool that may have managed a database, by its history table.
struct Candidate {
    name: &'static str,
    table: &'static str,
    /// A second table or column that must exist, too; empty if the table is enough.
    also: &'static str,
    format: Option<Format>,
}

fn candidates() -> Vec<Candidate> {
    let supported = Format::all().map(|format| {
        let facts = format.tool();
        let (table, also) = facts.own_table;
        Candidate { name: facts.title, table, also, format: Some(format) }
    });
    let foreign = FOREIGN.map(|(name, table, also)| Candidate { name, table, also, format: None });
    let mut candidates: Vec<_> = foreign.into_iter().chain(supported).collect();
    // Of two tools with the same table, the one that also needs a second table or column comes first.
    candidates.sort_by_key(|candidate| candidate.also.is_empty());
    candidates
}

/// The name of every history table that premain knows, including its own.
pub(super) fn history_tables() -> impl Iterator<Item = &'static str> {
    candidates().into_iter().map(|candidate| candidate.table).chain([marks::NAME, prepared::NAME])
}

/// The queries whose results [`Found::parse`] parses; `history_table` is the table that should exist.
pub(super) fn query(history_table: &str) -> String {
    let names: Vec<_> = candidates()
        .iter()
        .flat_map(|candidate| [literal(candidate.table), literal(candidate.also)])
        .collect();
    // The tables of extensions, such as spatial_ref_sys, do not count.
    format!(
        "SELECT pg_catalog.to_regclass({}) IS NOT NULL; \
         SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (pg_catalog.current_schemas(false)) AND c.relname <> '{}' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                           AND d.objid = c.oid AND d.deptype = 'e'); \
         SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), known.name \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
         LATERAL (SELECT c.relname::text UNION ALL SELECT pg_catalog.concat(c.relname, '.', a.attname) \
                  FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) known (name) \
         WHERE c.relkind IN ('r', 'p') AND known.name IN ({})",
        literal(history_table),
        marks::NAME,
        names.join(", ")
    )
}

/// What is in a database.
pub(super) enum Found {
    /// The history table exists: another replica has created it.
    HistoryTable,
    /// There is no table.
    Nothing,
    /// There are other tables.
    Unmanaged(Unmanaged),
}

impl Found {
    /// Reads the results of [`query`].
    pub(super) fn parse(results: &[Rows], history_table: &str) -> Found {
        let [exists, count, known] = results else { return Found::Nothing };
        let value = |rows: &Rows| rows.first().and_then(|row| row.first().cloned().flatten());
        if value(exists).as_deref() == Some("t") {
            return Found::HistoryTable;
        }
        let tables = value(count).and_then(|count| count.parse().ok()).unwrap_or(0);
        if tables == 0 {
            return Found::Nothing;
        }
        let find = |name: &str| {
            let row =
                known.iter().find(|row| row.get(1).and_then(Option::as_deref) == Some(name))?;
            row.first().cloned().flatten()
        };
        let tool = candidates().into_iter().find_map(|candidate| {
            let table = find(candidate.table)?;
            let certain = candidate.also.is_empty() || find(candidate.also).is_some();
            let Candidate { name, format, .. } = candidate;
            certain.then_some(Manager { name, table, format, revision: None })
        });
        Found::Unmanaged(Unmanaged { history_table: history_table.to_owned(), tables, tool })
    }
}

impl Manager {
    /// The query for the revision that it recorded last: only for Alembic, where nothing else shows which VERSION to use.
    pub(super) fn revision_query(&self) -> Option<String> {
        let table = &self.table;
        (self.name == "Alembic")
            .then(|| format!("SELECT pg_catalog.string_agg(version_num, ', ') FROM {table}"))
    }
}

impl fmt::Display for Unmanaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unmanaged { history_table, tables, tool } = self;
        let tables = text::count(*tables, "table");
        write!(f, "the database has {tables} and no history table {history_table}")?;
        if let Some(Manager { name, table, format, revision }) = tool {
            write!(f, "; until now {name} managed it ({table}")?;
            if let Some(revision) = revision {
                write!(f, ", revision {revision}")?;
            }
            f.write_str(")")?;
            match format {
                None => {}
                Some(format) if format.tool().known_by == KnownBy::Layout => {
                    f.write_str(", whose history premain continues: see --migrations, --format and --history-table")?;
                }
                Some(format) => write!(
                    f,
                    ", whose history premain continues with --format {format} --history-table '{table}'"
                )?,
            }
        }
        f.write_str(
            "\nno migration was applied; 'premain baseline VERSION' records the migrations up to that one as applied, \
             without running them; 'premain baseline none' records none, so that all of them run on the existing tables",
        )
    }
}
