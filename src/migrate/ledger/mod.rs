//! History tables. A ledger is one tool's dialect of them: which SQL reads, creates and extends the
//! table, and what counts as the same migration. Pure: no dialect ever talks to a server.

mod advisory;
mod dbmate;
mod drizzle;
mod drizzle1;
mod flyway;
mod golang_migrate;
mod goose;
mod prisma;
mod refinery;
mod sql;
mod sqlx;

pub use dbmate::Dbmate;
pub use drizzle::Drizzle;
pub use drizzle1::Drizzle1;
pub(crate) use drizzle1::milliseconds;
pub use flyway::Flyway;
pub use golang_migrate::GolangMigrate;
pub use goose::Goose;
pub use prisma::Prisma;
pub(crate) use prisma::uuid;
pub use refinery::Refinery;
pub use sql::Sql;
pub use sqlx::Sqlx;

use std::fmt;

use sha2::Digest;

use crate::database::Rows;
use crate::migrate::Key;
use crate::migrate::plan::Rules;
use crate::migrate::settings::{Format, HistoryTableName, Settings};
use crate::migrate::source::{Migration, Text};

/// One migration as a history table records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What the table knows it by.
    pub key: Key,
    /// Its name.
    pub name: String,
    /// The native tool's checksum, as it stands in the table.
    pub checksum: String,
    /// When, as it stands in the table, if it does.
    pub applied_on: Option<String>,
    /// Why it counts as failed halfway, if it does, and what to do about it.
    pub failure: Option<String>,
}

impl fmt::Display for Applied {
    /// `3 add_orders`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.title(&self.name))
    }
}

/// A row, or the whole table, is not what the native tool would have written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("history table {table}: {why}")]
pub struct Malformed {
    /// The history table.
    pub table: String,
    /// What is wrong, and what to do.
    pub why: String,
}

/// What is recorded of a migration that runs without a transaction, a statement for each turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// It begins.
    pub begin: String,
    /// All of it is done.
    pub finish: String,
    /// Nothing of it was kept: as if it had never begun.
    pub withdraw: String,
    /// It stopped halfway, for the reason that the setting `premain.failure` holds.
    pub fail: String,
}

/// A native tool's history table.
pub trait Ledger {
    /// Its name for people.
    fn table(&self) -> &str;

    /// The statements whose rows [`Ledger::parse`] understands. They fail with 42P01 or 3F000
    /// where the table does not exist.
    fn read(&self) -> String;

    /// Makes sense of the rows, and remembers what they say about the table itself. A row that
    /// names no migration may be known by what is on disk.
    ///
    /// # Errors
    /// [`Malformed`], with the row.
    fn parse(&mut self, results: &[Rows], on_disk: &[Migration])
    -> Result<Vec<Applied>, Malformed>;

    /// The statements that create the table, and its schema, unless they are there.
    fn create(&self) -> Vec<String>;

    /// The statements that bring a table of an older version of the tool up to date, as the tool
    /// does: run once, before the first migration that is recorded in it.
    fn upgrade(&self) -> &[String] {
        &[]
    }

    /// The statement that records `migration`; it runs in the migration's own transaction.
    ///
    /// # Errors
    /// [`Malformed`] where the table cannot hold it.
    fn record(&self, migration: &Migration) -> Result<String, Malformed>;

    /// The statement that records `migration` as applied although it was not run.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    fn baseline(&self, migration: &Migration) -> Result<String, Malformed> {
        self.record(migration)
    }

    /// The statement that takes the record of `migration` back, as the native tool does once its way
    /// down has run: afterwards it is pending again.
    ///
    /// # Errors
    /// [`Malformed`] where the table cannot say so.
    fn unrecord(&self, migration: &Migration) -> Result<String, Malformed>;

    /// How the table tells of `migration` while it runs without a transaction; `None` where it knows
    /// only what is done.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    fn attempt(&self, _migration: &Migration) -> Result<Option<Attempt>, Malformed> {
        Ok(None)
    }

    /// Whether the migration is still what was applied.
    fn unchanged(&self, migration: &Migration, applied: &Applied) -> bool;

    /// What the native tool makes of drift.
    fn rules(&self) -> Rules;

    /// The advisory locks of the native tool itself, if it takes any: SQL expressions of type
    /// `bigint`, to be asked for in this order.
    fn native_locks(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a history table is called.
#[derive(Debug)]
struct Names {
    /// The schema, unless it is wherever the session creates tables.
    schema: Option<String>,
    /// Its name in there.
    local: String,
    /// For SQL: quoted, lest a name is a word of SQL's.
    qualified: String,
    /// For people.
    shown: String,
}

impl Names {
    /// As the user named it; `schema` and `table` for what was not named.
    fn new(name: Option<&HistoryTableName>, schema: Option<&str>, table: &str) -> Names {
        let schema = name.and_then(|name| name.schema.as_deref()).or(schema);
        let table = name.map_or(table, |name| &name.table);
        let parts = || schema.into_iter().chain([table]);
        Names {
            schema: schema.map(str::to_owned),
            local: table.to_owned(),
            qualified: parts().map(quote).collect::<Vec<_>>().join("."),
            shown: parts().map(plain).collect::<Vec<_>>().join("."),
        }
    }

    /// The statements that create the schema and the table with these columns, unless they are there.
    fn create(&self, columns: &str) -> Vec<String> {
        let schema = self.schema.iter().map(|schema| create_schema(schema));
        let table = format!("CREATE TABLE IF NOT EXISTS {} {columns}", self.qualified);
        schema.chain([table]).collect()
    }

    /// The schema as an SQL expression of type `text`.
    fn schema(&self) -> String {
        match &self.schema {
            Some(schema) => literal(schema),
            None => "pg_catalog.current_schema()::text".to_owned(),
        }
    }

    /// The statement whose row [`Names::located`] understands.
    fn locate(&self) -> String {
        format!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = {}::pg_catalog.regclass",
            literal(&self.qualified)
        )
    }

    /// The statements whose results [`Names::rows`] understands: `clauses` say which rows, in which
    /// order.
    fn read(&self, columns: &str, clauses: &str) -> String {
        format!("{}; SELECT {columns} FROM {} {clauses}", self.locate(), self.qualified)
    }

    /// Remembers the schema that the table is in: a migration may change the search path.
    fn located(&mut self, rows: &Rows) {
        if let Some([Some(qualified)]) = rows.first().map(Vec::as_slice) {
            self.qualified.clone_from(qualified);
            self.shown.clone_from(qualified);
        }
    }

    /// The table's rows, of the results of [`Names::read`].
    fn rows<'r>(&mut self, results: &'r [Rows]) -> Result<&'r Rows, Malformed> {
        let [table, rows] = results else { return Err(self.out_of_turn()) };
        self.located(table);
        Ok(rows)
    }

    fn malformed(&self, why: String) -> Malformed {
        Malformed { table: self.shown.clone(), why }
    }

    /// Not the columns that were asked for: no server does that.
    fn out_of_turn(&self) -> Malformed {
        self.malformed("the server answered out of turn".to_owned())
    }
}

/// The dialect that belongs to a folder's layout.
pub fn of(format: Format, config: &Settings) -> Box<dyn Ledger> {
    let name = config.history_table.as_ref();
    match format {
        Format::Refinery => Box::new(Refinery::new(name)),
        Format::Drizzle => Box::new(Drizzle::new(name)),
        Format::Drizzle1 => Box::new(Drizzle1::new(name)),
        Format::Prisma => Box::new(Prisma::new(name)),
        Format::Sql => Box::new(Sql::new(name)),
        Format::Sqlx => Box::new(Sqlx::new(name)),
        Format::Dbmate => Box::new(Dbmate::new(name)),
        Format::GolangMigrate => Box::new(GolangMigrate::new(name)),
        Format::Goose => Box::new(Goose::new(name)),
        Format::Flyway => Box::new(Flyway::new(name)),
    }
}

/// Lower-case hexadecimal SHA-256, as most tools record it.
fn sha256(text: &Text) -> String {
    text.sha256()
}

/// Whether this is the text of which `recorded` is the checksum. git may have changed every line end
/// since, which is no edit.
fn same_but_line_ends<D: Digest>(
    sql: &Text,
    recorded: &str,
    checksum: fn(&Text) -> String,
) -> bool {
    let with = |line_end| sql.digest_with::<D>(line_end).is_ok_and(|digest| digest == recorded);
    recorded == checksum(sql) || with("\n") || with("\r\n")
}

/// Unlike `CREATE SCHEMA IF NOT EXISTS`, this asks for no privilege where the schema is there.
pub(super) fn create_schema(schema: &str) -> String {
    let statement = format!("CREATE SCHEMA {}", quote(schema));
    format!(
        "DO $premain$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {}) \
         THEN EXECUTE {}; END IF; END $premain$",
        literal(schema),
        literal(&statement)
    )
}

/// `name`, or `"My name"` where that is needed to tell where it ends, or that it is one: PostgreSQL 16
/// and later take a number for an object's own.
fn plain(name: &str) -> String {
    let simple = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = name.chars().all(simple) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { quote(name) }
}

/// `"name"`, with quotes inside doubled.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'text'`, as a literal under `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
