//! A folder of plain SQL: `001_create_users.sql`, `0002-orders.sql`, `20240101120000_items.up.sql`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Key, Migration, Order, Script, SourceError, Text, read_sql};

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (name, file) in files(folder)? {
        let malformed = |why: String| SourceError::Malformed { path: file.clone(), why };
        match Name::parse(&name) {
            Name::Down => {}
            Name::Other => tracing::warn!(
                "{} is no migration: its name is not like 001_create_users.sql",
                file.display()
            ),
            Name::TooLarge => {
                return Err(malformed("its number is too large; use 18 digits at most".to_owned()));
            }
            Name::Migration { number, title } => {
                let sql = read_sql(&file)?;
                if let Some((line, tool)) = foreign(&sql)
                    .map_err(|source| SourceError::Unreadable { path: file.clone(), source })?
                {
                    return Err(malformed(format!(
                        "line {line} is a marker of {tool}'s, whose files premain does not read; \
                         as plain SQL all of the file would run, the way down included"
                    )));
                }
                migrations.push(Migration {
                    key: Key::Number(number),
                    name: title.to_owned(),
                    order: Order::Strict,
                    up: Script::whole(file, sql),
                    down: None,
                });
            }
        }
    }
    Ok(migrations)
}

/// Whether a file of `folder` has the name of a migration.
pub(super) fn has_migration(folder: &Path) -> Result<bool, SourceError> {
    Ok(files(folder)?.iter().any(|(name, _)| matches!(Name::parse(name), Name::Migration { .. })))
}

/// The SQL files of `folder`, by name.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".sql") && !name.starts_with('.') && path.is_file() {
            files.push((name.to_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}

/// A file name taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Migration {
        number: i64,
        title: &'a str,
    },
    /// The way back of a migration.
    Down,
    TooLarge,
    Other,
}

impl Name<'_> {
    fn parse(file_name: &str) -> Name<'_> {
        let stem = file_name.strip_suffix(".sql").unwrap_or(file_name);
        let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
        let (digits, rest) = stem.split_at(end);
        let Some(title) = rest.strip_prefix(['_', '-']) else { return Name::Other };
        let way_up = title.strip_suffix(".up").unwrap_or(title);
        if digits.is_empty() || way_up.is_empty() {
            return Name::Other;
        }
        if title.ends_with(".down") {
            return Name::Down;
        }
        digits.parse().map_or(Name::TooLarge, |number| Name::Migration { number, title: way_up })
    }
}

/// The line with which another tool parts the way up from the way down in one file.
fn foreign(sql: &Text) -> io::Result<Option<(usize, &'static str)>> {
    let mut number = 0;
    sql.lines(|_, line| {
        number += 1;
        let comment = line.trim_start().strip_prefix("--")?.trim_start();
        let markers = [("migrate:up", "dbmate"), ("migrate:down", "dbmate"), ("+goose", "goose")];
        let (_, tool) = markers.iter().find(|(marker, _)| comment.starts_with(marker))?;
        Some((number, *tool))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_give_them() {
        for (name, number, title) in [
            ("001_create_base_schema.sql", 1, "create_base_schema"),
            ("0001-x.sql", 1, "x"),
            ("20240101120000_x.up.sql", 20_240_101_120_000, "x"),
            ("100_größe und mehr.sql", 100, "größe und mehr"),
        ] {
            assert_eq!(Name::parse(name), Name::Migration { number, title }, "{name}");
        }
        assert_eq!(Name::parse("001_x.down.sql"), Name::Down);
        assert_eq!(Name::parse("99999999999999999999_x.sql"), Name::TooLarge);
        for name in ["init.sql", "_x.sql", "1.sql", "1_.sql", "1x.sql", "1_.up.sql", "V1__x.sql"] {
            assert_eq!(Name::parse(name), Name::Other, "{name}");
        }
    }

    #[test]
    fn markers_of_other_tools() {
        let markers = |sql: &str| foreign(&Text::Here(sql.to_owned())).unwrap();
        assert_eq!(markers("-- up\n  -- migrate:down transaction:false"), Some((2, "dbmate")));
        assert_eq!(markers("--+goose Up"), Some((1, "goose")));
        assert_eq!(markers("-- we migrate:up to you\nSELECT '+goose'"), None);
    }
}
