//! Directories of migrations as the tools lay them out.

use tempfile::TempDir;

use super::directory;

/// What `--format` calls them.
pub const FORMATS: [&str; 10] = [
    "refinery",
    "sql",
    "drizzle",
    "drizzle1",
    "prisma",
    "sqlx",
    "dbmate",
    "golang-migrate",
    "goose",
    "flyway",
];

/// A directory in this format, of the migrations 1 to `count` with what `sql` says.
pub fn migrations(format: &str, count: usize, sql: impl Fn(usize) -> String) -> TempDir {
    let mut files: Vec<_> =
        (1..=count).map(|n| (file_name(format, n), marked(format, &sql(n)))).collect();
    files.extend(metadata(format, count));
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    directory(&files)
}

/// The file of migration number `n`, at most 3,599.
pub fn file_name(format: &str, n: usize) -> String {
    match format {
        "refinery" => format!("V{n}__t{n}.sql"),
        "sql" | "sqlx" => format!("{n}_t{n}.sql"),
        "golang-migrate" => format!("{n}_t{n}.up.sql"),
        "drizzle" | "dbmate" | "goose" => format!("{n:04}_t{n}.sql"),
        "flyway" => format!("V1.{n}__t{n}.sql"),
        _ => format!("2024010100{:02}{:02}_t{n}/migration.sql", n / 60, n % 60),
    }
}

/// The file that the format needs beside its first `count` migrations, and what is in it.
pub fn metadata(format: &str, count: usize) -> Option<(String, String)> {
    match format {
        "drizzle" => {
            let entries = (1..=count).map(|n| format!(r#"{{"when": {n}, "tag": "{n:04}_t{n}"}}"#));
            let entries = entries.collect::<Vec<_>>().join(",");
            Some(("meta/_journal.json".to_owned(), format!(r#"{{"entries": [{entries}]}}"#)))
        }
        "drizzle1" => Some(("20240101000001_t1/snapshot.json".to_owned(), String::new())),
        _ => None,
    }
}

/// The script as a file of this format's, behind the line that some tools look for.
pub fn marked(format: &str, sql: &str) -> String {
    let marker = match format {
        "dbmate" => "-- migrate:up\n",
        "goose" => "-- +goose Up\n",
        _ => return sql.to_owned(),
    };
    match sql.strip_prefix('\u{feff}') {
        Some(sql) => format!("\u{feff}{marker}{sql}"),
        None => format!("{marker}{sql}"),
    }
}

/// The numbers of the migrations that this format's history table holds as applied, in their order.
pub fn recorded(format: &str) -> &'static str {
    match format {
        "refinery" => "SELECT version FROM refinery_schema_history ORDER BY version",
        "sqlx" => "SELECT version FROM _sqlx_migrations WHERE success ORDER BY installed_on",
        "dbmate" => "SELECT version::int FROM schema_migrations ORDER BY version",
        // One row stands for all up to it.
        "golang-migrate" => {
            "SELECT generate_series(1, version) FROM schema_migrations WHERE NOT dirty"
        }
        "goose" => "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id",
        "flyway" => {
            "SELECT split_part(version, '.', 2) FROM flyway_schema_history WHERE success ORDER BY installed_rank"
        }
        "sql" => "SELECT version FROM premain_migrations WHERE success ORDER BY applied_at",
        "drizzle" => "SELECT created_at FROM drizzle.__drizzle_migrations ORDER BY id",
        "drizzle1" => {
            "SELECT substr(name, 11, 2)::int * 60 + substr(name, 13, 2)::int FROM drizzle.__drizzle_migrations ORDER BY id"
        }
        _ => {
            "SELECT substr(migration_name, 11, 2)::int * 60 + substr(migration_name, 13, 2)::int FROM _prisma_migrations \
             WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY finished_at"
        }
    }
}
