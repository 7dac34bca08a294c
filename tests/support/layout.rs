//! Folders of migrations as the tools lay them out.

use tempfile::TempDir;

use super::folder;

/// What `--format` calls them.
pub const FORMATS: [&str; 6] = ["refinery", "sql", "drizzle", "drizzle1", "prisma", "flyway"];

/// A folder in this format, of the migrations 1 to `count` with what `sql` says.
pub fn migrations(format: &str, count: usize, sql: impl Fn(usize) -> String) -> TempDir {
    let name = |n: usize| match format {
        "refinery" => format!("V{n}__t{n}.sql"),
        "flyway" => format!("V1.{n}__t{n}.sql"),
        "sql" => format!("{n}_t{n}.sql"),
        "drizzle" => format!("{n:04}_t{n}.sql"),
        _ => format!("2024010100{:02}{:02}_t{n}/migration.sql", n / 60, n % 60),
    };
    let mut files: Vec<_> = (1..=count).map(|n| (name(n), sql(n))).collect();
    match format {
        "drizzle" => {
            let entries = (1..=count).map(|n| format!(r#"{{"when": {n}, "tag": "{n:04}_t{n}"}}"#));
            let entries = entries.collect::<Vec<_>>().join(",");
            files.push(("meta/_journal.json".to_owned(), format!(r#"{{"entries": [{entries}]}}"#)));
        }
        "drizzle1" => files.push(("20240101000001_t1/snapshot.json".to_owned(), String::new())),
        _ => {}
    }
    let files: Vec<_> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    folder(&files)
}

/// The numbers of the migrations, below 60, that this format's history table holds as applied, in their order.
pub fn recorded(format: &str) -> &'static str {
    match format {
        "refinery" => "SELECT version FROM refinery_schema_history ORDER BY version",
        "flyway" => {
            "SELECT split_part(version, '.', 2) FROM flyway_schema_history WHERE success ORDER BY installed_rank"
        }
        "sql" => "SELECT version FROM premain_migrations WHERE success ORDER BY applied_at",
        "drizzle" => "SELECT created_at FROM drizzle.__drizzle_migrations ORDER BY id",
        "drizzle1" => {
            "SELECT right(split_part(name, '_', 1), 2)::int FROM drizzle.__drizzle_migrations ORDER BY id"
        }
        _ => {
            "SELECT right(split_part(migration_name, '_', 1), 2)::int FROM _prisma_migrations \
             WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY finished_at"
        }
    }
}
