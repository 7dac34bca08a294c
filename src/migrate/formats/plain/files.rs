//! Directories of plain SQL: `001_create_users.sql`, `0002-orders.sql`, `20240101120000_items.up.sql`.

use std::path::Path;

use crate::migrate::formats::directory::{read_sql, sorted, sql_files, subdirectories};
use crate::migrate::formats::down_files;
use crate::migrate::formats::scaffold::{Existing, NewFiles, comment};
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// Every migration in `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    for (name, path) in subdirectories(directory)? {
        if name.ends_with(".sql") && is_migration(&name) {
            let why =
                "it is a directory, not a file; Docker makes one if the file to mount is missing";
            return Err(SourceError::malformed(&path, why));
        }
    }
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (file_name, file) in sql_files(directory, 1)? {
        match FileName::parse(&file_name) {
            FileName::Down { number } => {
                let sql = read_sql(&file)?;
                downs.push((Version::Number(number), Script::whole(file, sql)));
            }
            FileName::Other => {}
            FileName::TooLarge => {
                let why = "its number is too large; use 18 digits at most".to_owned();
                return Err(SourceError::malformed(&file, why));
            }
            FileName::Migration { number, name } => {
                let sql = read_sql(&file)?;
                migrations.push(Migration {
                    version: Version::Number(number),
                    name: name.to_owned(),
                    title: title_of_file(&file_name).to_owned(),
                    order: Order::Strict,
                    up: Script::whole(file, sql),
                    down: None,
                });
            }
        }
    }
    sorted(down_files::join(migrations, downs)?)
}

/// Whether a file of this name is a migration.
pub(crate) fn is_migration(file_name: &str) -> bool {
    matches!(FileName::parse(file_name), FileName::Migration { .. })
}

#[derive(Debug, PartialEq, Eq)]
enum FileName<'a> {
    Migration {
        number: i64,
        name: &'a str,
    },
    /// A down migration.
    Down {
        number: i64,
    },
    TooLarge,
    Other,
}

impl FileName<'_> {
    fn parse(file_name: &str) -> FileName<'_> {
        let stem = file_name.strip_suffix(".sql").unwrap_or(file_name);
        let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
        let (digits, rest) = stem.split_at(end);
        let Some(name) = rest.strip_prefix(['_', '-']) else { return FileName::Other };
        let up = name.strip_suffix(".up").unwrap_or(name);
        if digits.is_empty() || up.is_empty() {
            return FileName::Other;
        }
        let Ok(number) = digits.parse() else { return FileName::TooLarge };
        match name.ends_with(".down") {
            true => FileName::Down { number },
            false => FileName::Migration { number, name: up },
        }
    }
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let has_downs = existing.migrations.iter().any(|migration| migration.down.is_some());
    let endings: &[&str] = match existing.newest_file_name() {
        name if name.ends_with(".up.sql") => &[".up.sql", ".down.sql"],
        _ if has_downs => &[".sql", ".down.sql"],
        _ => &[".sql"],
    };
    existing.numbered("001", endings, comment)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_names_are_parsed() {
        for (file_name, number, name) in [
            ("001_create_base_schema.sql", 1, "create_base_schema"),
            ("0001-x.sql", 1, "x"),
            ("20240101120000_x.up.sql", 20_240_101_120_000, "x"),
            ("100_größe und mehr.sql", 100, "größe und mehr"),
        ] {
            assert_eq!(
                FileName::parse(file_name),
                FileName::Migration { number, name },
                "{file_name}"
            );
        }
        assert_eq!(FileName::parse("001_x.down.sql"), FileName::Down { number: 1 });
        assert_eq!(FileName::parse("99999999999999999999_x.sql"), FileName::TooLarge);
        for name in ["init.sql", "_x.sql", "1.sql", "1_.sql", "1x.sql", "1_.up.sql", "V1__x.sql"] {
            assert_eq!(FileName::parse(name), FileName::Other, "{name}");
        }
    }

    #[test]
    fn a_down_migration_belongs_to_the_up_migration_of_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(directory.path().join(name), name).unwrap();
        for name in ["1_a.sql", "002_b.up.sql", "2_b.down.sql", "3_c.down.sql"] {
            write(name);
        }
        let found = read(directory.path()).unwrap();
        let downs = found
            .iter()
            .map(|migration| migration.down.as_ref().and_then(|down| down.sql.in_memory()));
        assert_eq!(downs.collect::<Vec<_>>(), [None, Some("2_b.down.sql")]);
        write("02_b.down.sql");
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("02_b.down.sql") && error.contains("2_b.down.sql"), "{error}");
    }
}
