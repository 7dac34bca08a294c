//! Directories of refinery: `V1__create_users.sql`, `U7__reseed.sql`, at any depth.

use std::path::Path;

use crate::migrate::formats::directory::{read_sql, sorted, sql_files, warn_of_name};
use crate::migrate::formats::scaffold::{Existing, NewFiles, number_after};
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::Script;
use crate::migrate::version::Version;

/// Every migration below `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (file_name, path) in sql_files(directory, usize::MAX)? {
        let malformed = |why: &str| SourceError::malformed(&path, why);
        match FileName::parse(&file_name).map_err(malformed)? {
            None => warn_of_name(&path, "V1__create_users.sql"),
            Some(FileName { order, version, name }) => migrations.push(Migration {
                version: Version::Number(version),
                name,
                title: title_of_file(&file_name).to_owned(),
                order,
                up: Script::whole(path.clone(), read_sql(&path)?),
                down: None,
            }),
        }
    }
    sorted(migrations)
}

/// Whether refinery would use a file below `directory`, or fail on it.
pub(super) fn claims(directory: &Path) -> Result<bool, SourceError> {
    let files = sql_files(directory, usize::MAX)?;
    Ok(files.iter().any(|(name, _)| FileName::parse(name) != Ok(None)))
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let newest = existing.newest_file_name().trim_start_matches(['V', 'U']);
    let number = number_after(newest, existing.now, "1");
    let name = format!("V{number}__{}.sql", existing.title);
    NewFiles::one(existing.newest_directory().join(&name), &format!("-- {name}\n"))
}

#[derive(Debug, PartialEq, Eq)]
struct FileName {
    order: Order,
    version: i64,
    name: String,
}

impl FileName {
    /// `None` if refinery ignores the name. Names that it accepts and then fails on (a literal `|` instead of the letter, a
    /// decimal version) are errors.
    fn parse(file_name: &str) -> Result<Option<FileName>, &'static str> {
        let Some((head, tail)) = file_name.split_once("__") else { return Ok(None) };
        let mut letters = head.chars();
        let order = match letters.next() {
            Some('V') => Order::Strict,
            Some('U') => Order::Free,
            Some('|') => return Err("the name begins with '|'; begin it with V or U"),
            _ => return Ok(None),
        };
        let version = letters.as_str();
        let name = tail.strip_suffix(".sql").unwrap_or(tail);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(word) || version.is_empty() {
            return Ok(None);
        }
        if !version.chars().all(|c| c.is_ascii_digit()) {
            return match version.split_once('.') {
                Some((whole, part)) if digits(whole) && digits(part) => Err(
                    "refinery has no decimal versions; use a whole number, as in V12__name.sql, or give --format flyway if it is Flyway's",
                ),
                _ => Ok(None),
            };
        }
        let version = version.parse().map_err(|_| "the version is too large")?;
        Ok(Some(FileName { order, version, name: name.to_owned() }))
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_refinery_accepts_are_parsed() {
        for (file_name, order, version, title) in [
            ("V1__init.sql", Order::Strict, 1, "init"),
            ("U03__late.sql", Order::Free, 3, "late"),
            ("V10__näme_2.sql", Order::Strict, 10, "näme_2"),
            ("V1___x.sql", Order::Strict, 1, "_x"),
            ("V1__a__b.sql", Order::Strict, 1, "a__b"),
        ] {
            let expected = FileName { order, version, name: title.to_owned() };
            assert_eq!(FileName::parse(file_name), Ok(Some(expected)), "{file_name}");
        }
    }

    #[test]
    fn names_that_refinery_ignores_are_ignored() {
        for file_name in [
            "init.sql",
            "V1_init.sql",
            "v1__init.sql",
            "V__x.sql",
            "V1__.sql",
            "V1__a-b.sql",
            "V1a__x.sql",
        ] {
            assert_eq!(FileName::parse(file_name), Ok(None), "{file_name}");
        }
    }

    #[test]
    fn names_that_refinery_fails_on_are_rejected() {
        for file_name in ["|1__init.sql", "V1.5__init.sql", "V99999999999999999999__x.sql"] {
            assert!(FileName::parse(file_name).is_err(), "{file_name}");
        }
    }
}
