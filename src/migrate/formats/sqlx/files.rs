//! Directories of sqlx: `1_create_users.sql`, or `1_create_users.up.sql` and `1_create_users.down.sql`.

use std::path::Path;

use crate::migrate::formats::directory::{read_sql, sorted, sql_files};
use crate::migrate::formats::down_files;
use crate::migrate::formats::scaffold::{Existing, NewFiles};
use crate::migrate::formats::timestamp::timestamp;
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// The beginning of a file that must not run in a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

/// Every migration in `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (file_name, file) in sql_files(directory, 1)? {
        let Some((version, name)) = file_name.split_once('_') else {
            continue;
        };
        let version = Version::Number(version.parse().map_err(|_| {
            SourceError::malformed(
                &file,
                format!(
                    "'{version}' is not a version; sqlx's file names begin as in 1_create_users.sql"
                ),
            )
        })?);
        let sql = read_sql(&file)?;
        let has_marker = sql.beginning().starts_with(NO_TRANSACTION);
        let mut script = Script::whole(file, sql);
        script.transactional &= !has_marker;
        if name.ends_with(".down.sql") {
            downs.push((version, script));
            continue;
        }
        let ending = if name.ends_with(".up.sql") { ".up.sql" } else { ".sql" };
        migrations.push(Migration {
            version,
            name: name.trim_end_matches(ending).replace('_', " "),
            title: title_of_file(&file_name).to_owned(),
            order: Order::Strict,
            up: script,
            down: None,
        });
    }
    sorted(down_files::join(migrations, downs)?)
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let endings: &[&str] = match existing.newest_file_name().ends_with(".up.sql") {
        true => &[".up.sql", ".down.sql"],
        false => &[".sql"],
    };
    existing.numbered(&timestamp(existing.now), endings, template)
}

/// What sqlx writes into a new file of this name.
pub(super) fn template(file_name: &str) -> String {
    let direction = match file_name {
        name if name.ends_with(".up.sql") => "up ",
        name if name.ends_with(".down.sql") => "down ",
        _ => "",
    };
    format!("-- Add {direction}migration script here\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_markers_are_read_as_sqlx_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, sql: &str| fs::write(directory.path().join(name), sql).unwrap();
        write("20240101120000_create_users.sql", "-- no-transaction\nVACUUM");
        write("0003_a_b.up.sql", " -- no-transaction");
        write("3_other.down.sql", "-- no-transaction");
        write("readme.sql", "");
        let found = read(directory.path()).unwrap();
        let facts = found.iter().map(|migration| {
            let down = migration.down.as_ref().map(|down| down.transactional);
            (migration.to_string(), migration.up.transactional, down)
        });
        assert_eq!(
            facts.collect::<Vec<_>>(),
            [
                ("0003_a_b".to_owned(), true, Some(false)),
                ("20240101120000_create_users".to_owned(), false, None)
            ]
        );
        write("x_y.sql", "");
        assert!(read(directory.path()).unwrap_err().to_string().contains("'x' is not a version"));
    }
}
