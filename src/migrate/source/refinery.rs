//! A folder in refinery's layout: `V1__create_users.sql`, `U7__reseed.sql`, at any depth.

use std::path::Path;

use super::{Key, Migration, Order, Script, SourceError, read_sql, sql_files};

/// Every migration below `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (file_name, path) in sql_files(folder, usize::MAX)? {
        let malformed =
            |why: &str| SourceError::Malformed { path: path.clone(), why: why.to_owned() };
        match Name::parse(&file_name).map_err(malformed)? {
            None => tracing::warn!(
                "{} is no migration: its name is not like V1__create_users.sql",
                path.display()
            ),
            Some(Name { order, version, title }) => migrations.push(Migration {
                key: Key::Number(version),
                name: title,
                order,
                up: Script::whole(path.clone(), read_sql(&path)?),
                down: None,
            }),
        }
    }
    Ok(migrations)
}

/// Whether a file below `folder` has a name that means something to refinery.
pub(super) fn has_migration(folder: &Path) -> Result<bool, SourceError> {
    let files = sql_files(folder, usize::MAX)?;
    Ok(files.iter().any(|(name, _)| Name::parse(name) != Ok(None)))
}

/// A file name taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) order: Order,
    pub(super) version: i64,
    pub(super) title: String,
}

impl Name {
    /// `None` for a name that refinery passes over. The names that it matches and then stumbles on
    /// (a literal `|` for the letter, a decimal version) are errors that say so.
    pub(super) fn parse(file_name: &str) -> Result<Option<Name>, &'static str> {
        let Some((head, tail)) = file_name.split_once("__") else { return Ok(None) };
        let mut letters = head.chars();
        let order = match letters.next() {
            Some('V') => Order::Strict,
            Some('U') => Order::Free,
            Some('|') => return Err("the name begins with '|'; begin it with V or U"),
            _ => return Ok(None),
        };
        let version = letters.as_str();
        let title = tail.strip_suffix(".sql").unwrap_or(tail);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if title.is_empty() || !title.chars().all(word) || version.is_empty() {
            return Ok(None);
        }
        if !version.chars().all(|c| c.is_ascii_digit()) {
            return match version.split_once('.') {
                Some((whole, part)) if digits(whole) && digits(part) => Err(
                    "refinery knows no decimal versions; use a whole number, as in V12__name.sql, or give --format flyway if it is Flyway's",
                ),
                _ => Ok(None),
            };
        }
        let version = version.parse().map_err(|_| "the version is too large")?;
        Ok(Some(Name { order, version, title: title.to_owned() }))
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_refinery_takes() {
        for (file_name, order, version, title) in [
            ("V1__init.sql", Order::Strict, 1, "init"),
            ("U03__late.sql", Order::Free, 3, "late"),
            ("V10__näme_2.sql", Order::Strict, 10, "näme_2"),
            ("V1___x.sql", Order::Strict, 1, "_x"),
            ("V1__a__b.sql", Order::Strict, 1, "a__b"),
        ] {
            let expected = Name { order, version, title: title.to_owned() };
            assert_eq!(Name::parse(file_name), Ok(Some(expected)), "{file_name}");
        }
    }

    #[test]
    fn names_that_refinery_passes_over() {
        for file_name in [
            "init.sql",
            "V1_init.sql",
            "v1__init.sql",
            "V__x.sql",
            "V1__.sql",
            "V1__a-b.sql",
            "V1a__x.sql",
        ] {
            assert_eq!(Name::parse(file_name), Ok(None), "{file_name}");
        }
    }

    #[test]
    fn names_that_refinery_stumbles_on() {
        for file_name in ["|1__init.sql", "V1.5__init.sql", "V99999999999999999999__x.sql"] {
            assert!(Name::parse(file_name).is_err(), "{file_name}");
        }
    }
}
