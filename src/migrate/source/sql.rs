//! A folder of plain SQL: `001_create_users.sql`, `0002-orders.sql`, `20240101120000_items.up.sql`.

use std::io;
use std::path::Path;

use super::{
    Key, Migration, Order, Script, SourceError, Text, pair, read_sql, sql_files, subfolders,
    warn_of_name,
};

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    for (name, path) in subfolders(folder)? {
        if name.ends_with(".sql") && matches!(Name::parse(&name), Name::Migration { .. }) {
            let why =
                "it is a folder, not a file; Docker makes one where the file to mount is missing";
            return Err(SourceError::Malformed { path, why: why.to_owned() });
        }
    }
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (name, file) in sql_files(folder, 1)? {
        let malformed = |why: String| SourceError::Malformed { path: file.clone(), why };
        match Name::parse(&name) {
            Name::Down { number } => {
                let sql = read_sql(&file)?;
                downs.push((Key::Number(number), Script::whole(file, sql)));
            }
            Name::Other => warn_of_name(&file, "001_create_users.sql"),
            Name::TooLarge => {
                return Err(malformed("its number is too large; use 18 digits at most".to_owned()));
            }
            Name::Migration { number, title } => {
                let sql = read_sql(&file)?;
                if let Some((line, tool)) = foreign(&sql)
                    .map_err(|source| SourceError::Unreadable { path: file.clone(), source })?
                {
                    return Err(malformed(format!(
                        "line {line} is a marker of {tool}'s: give --format {tool}; \
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
    pair::join(migrations, downs)
}

/// Whether a file of this name is a migration.
pub(super) fn is_migration(file_name: &str) -> bool {
    matches!(Name::parse(file_name), Name::Migration { .. })
}

/// A file name taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Migration {
        number: i64,
        title: &'a str,
    },
    /// The way down of a migration.
    Down {
        number: i64,
    },
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
        let Ok(number) = digits.parse() else { return Name::TooLarge };
        match title.ends_with(".down") {
            true => Name::Down { number },
            false => Name::Migration { number, title: way_up },
        }
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
    use std::fs;

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
        assert_eq!(Name::parse("001_x.down.sql"), Name::Down { number: 1 });
        assert_eq!(Name::parse("99999999999999999999_x.sql"), Name::TooLarge);
        for name in ["init.sql", "_x.sql", "1.sql", "1_.sql", "1x.sql", "1_.up.sql", "V1__x.sql"] {
            assert_eq!(Name::parse(name), Name::Other, "{name}");
        }
    }

    #[test]
    fn a_way_down_belongs_to_the_way_up_of_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        for name in ["1_a.sql", "002_b.up.sql", "2_b.down.sql", "3_c.down.sql"] {
            write(name);
        }
        let found = read(folder.path()).unwrap();
        let downs =
            found.iter().map(|migration| migration.down.as_ref().and_then(|down| down.sql.here()));
        assert_eq!(downs.collect::<Vec<_>>(), [Some("2_b.down.sql"), None]);
        write("02_b.down.sql");
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("02_b.down.sql") && error.contains("2_b.down.sql"), "{error}");
    }

    #[test]
    fn markers_of_other_tools() {
        let markers = |sql: &str| foreign(&Text::Here(sql.to_owned())).unwrap();
        assert_eq!(markers("-- up\n  -- migrate:down transaction:false"), Some((2, "dbmate")));
        assert_eq!(markers("--+goose Up"), Some((1, "goose")));
        assert_eq!(markers("-- we migrate:up to you\nSELECT '+goose'"), None);
    }
}
