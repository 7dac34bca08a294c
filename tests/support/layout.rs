//! Directories of migrations as the tools lay them out.

use std::fs;
use std::path::Path;

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

/// What the file of migration `n` is called, or its directory.
pub fn title(format: &str, n: usize) -> String {
    match format {
        "refinery" => format!("V{n}__t{n}"),
        "sql" | "sqlx" | "golang-migrate" => format!("{n}_t{n}"),
        "drizzle" | "dbmate" | "goose" => format!("{n:04}_t{n}"),
        "flyway" => format!("V1.{n}__t{n}"),
        _ => format!("2024010100{:02}{:02}_t{n}", n / 60, n % 60),
    }
}

/// The file of migration `n`, at most 3,599, within its directory.
pub fn file_name(format: &str, n: usize) -> String {
    let title = title(format, n);
    match format {
        "drizzle1" | "prisma" => format!("{title}/migration.sql"),
        "golang-migrate" => format!("{title}.up.sql"),
        _ => format!("{title}.sql"),
    }
}

/// The formats that have down migrations.
pub const WITH_DOWN: [&str; 7] =
    ["sql", "prisma", "sqlx", "dbmate", "golang-migrate", "goose", "flyway"];

/// Gives migration `n` of this directory a down migration.
pub fn add_down(format: &str, directory: &Path, n: usize, sql: &str) {
    let (title, up) = (title(format, n), directory.join(file_name(format, n)));
    let in_the_same_file = |marker: &str| {
        let both = format!("{}\n{marker}\n{sql}\n", fs::read_to_string(&up).unwrap());
        fs::write(&up, both).unwrap();
    };
    let down = match format {
        "dbmate" => return in_the_same_file(";\n-- migrate:down"),
        "goose" => return in_the_same_file(";\n-- +goose Down"),
        "flyway" => format!("U1.{n}__t{n}.sql"),
        "prisma" => format!("{title}/down.sql"),
        "golang-migrate" => format!("{title}.down.sql"),
        _ => {
            fs::rename(&up, directory.join(format!("{title}.up.sql"))).unwrap();
            format!("{title}.down.sql")
        }
    };
    fs::write(directory.join(down), sql).unwrap();
}

/// A directory in this format, of the migrations 1 to `count` with what `sql` says.
pub fn migrations(format: &str, count: usize, sql: impl Fn(usize) -> String) -> TempDir {
    let mut files: Vec<_> =
        (1..=count).map(|n| (file_name(format, n), marked(format, &sql(n)))).collect();
    files.extend(metadata(format, count));
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    directory(&files)
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

/// This format's history table.
pub fn history_table(format: &str) -> &'static str {
    match format {
        "refinery" => "refinery_schema_history",
        "prisma" => "_prisma_migrations",
        "sqlx" => "_sqlx_migrations",
        "dbmate" | "golang-migrate" => "schema_migrations",
        "goose" => "goose_db_version",
        "flyway" => "flyway_schema_history",
        "sql" => "premain_migrations",
        _ => "drizzle.__drizzle_migrations",
    }
}
