//! Directories of golang-migrate: `1_create_users.up.sql` and `1_create_users.down.sql`.

use std::path::Path;

use crate::migrate::formats::directory::{read_sql, sorted, sql_files};
use crate::migrate::formats::down_files;
use crate::migrate::formats::scaffold::{Existing, NewFiles};
use crate::migrate::formats::timestamp::timestamp;
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// Every migration in `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (file_name, file) in sql_files(directory, 1)? {
        let Some((version, name, direction)) = parts(&file_name) else {
            continue;
        };
        let version = Version::Number(version.parse().map_err(|_| {
            SourceError::malformed(&file, "its number is too large; use 18 digits at most")
        })?);
        let script = Script::whole(file.clone(), read_sql(&file)?);
        match direction {
            Direction::Down => downs.push((version, name.to_owned(), script)),
            Direction::Up => migrations.push(Migration {
                version,
                name: name.to_owned(),
                title: title_of_file(&file_name).to_owned(),
                order: Order::Strict,
                up: script,
                down: None,
            }),
        }
    }
    // A version with only a down migration is a version as well: its up migration is empty.
    for (version, name, script) in &downs {
        if migrations.iter().all(|migration| migration.version != *version) {
            let file_name = script.file.file_name().unwrap_or_default().to_string_lossy();
            migrations.push(Migration {
                version: version.clone(),
                name: name.clone(),
                title: title_of_file(&file_name).to_owned(),
                order: Order::Strict,
                up: Script::whole(script.file.clone(), String::new()),
                down: None,
            });
        }
    }
    let downs = downs.into_iter().map(|(version, _, script)| (version, script)).collect();
    sorted(down_files::join(migrations, downs)?)
}

#[derive(Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// The version, name and direction of `1_create_users.up.sql`.
fn parts(file_name: &str) -> Option<(&str, &str, Direction)> {
    let (version, rest) = file_name.strip_suffix(".sql")?.split_once('_')?;
    let (name, direction) = match rest.strip_suffix(".up") {
        Some(name) => (name, Direction::Up),
        None => (rest.strip_suffix(".down")?, Direction::Down),
    };
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((version, name, direction))
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let first = timestamp(existing.now);
    existing.numbered(&first, &[".up.sql", ".down.sql"], |_| String::new())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_names_are_parsed_as_golang_migrate_parses_them() {
        assert_eq!(parts("001_a_b.up.sql"), Some(("001", "a_b", Direction::Up)));
        assert_eq!(parts("1_.down.sql"), Some(("1", "", Direction::Down)));
        for name in ["1_a.sql", "1-a.up.sql", "a_1.up.sql", "_a.up.sql", "1_a.up"] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    #[test]
    fn a_version_with_only_a_down_migration_has_an_empty_up_migration() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["2_b.down.sql", "1_a.up.sql", "1_a.down.sql"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let found = read(directory.path()).unwrap();
        let texts = found.iter().map(|one| {
            (one.up.sql.in_memory().unwrap(), one.down.as_ref().unwrap().sql.in_memory().unwrap())
        });
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [("1_a.up.sql", "1_a.down.sql"), ("", "2_b.down.sql")]
        );
    }
}
