//! A folder of goose's SQL files: `00001_create_users.sql`, with the way up behind `-- +goose Up` and
//! the way down behind `-- +goose Down`.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::{Key, Migration, Order, Script, SourceError, lines, read_sql, sql_files, warn_of_name};

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    refuse_go(folder)?;
    let mut migrations = Vec::new();
    for (name, file) in sql_files(folder)? {
        let Some((version, title)) = version(&name) else {
            warn_of_name(&file, "00001_create_users.sql");
            continue;
        };
        let sql = read_sql(&file)?;
        let ways =
            Ways::of(&sql).map_err(|why| SourceError::Malformed { path: file.clone(), why })?;
        let script = |parts: Parts| Script {
            file: file.clone(),
            sql: sql.clone(),
            parts,
            transactional: ways.transactional,
        };
        migrations.push(Migration {
            key: Key::Number(version),
            name: title.trim_end_matches(".sql").to_owned(),
            order: Order::Strict,
            up: script(ways.up),
            down: ways.down.map(script),
        });
    }
    Ok(migrations)
}

/// Whether the line is one of goose's own.
pub(super) fn is_marker(line: &str) -> bool {
    annotation(line).is_some()
}

/// A migration in Go is a part of the program that it was built into.
fn refuse_go(folder: &Path) -> Result<(), SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".go") && !name.ends_with("_test.go") && version(name).is_some() {
            let why = "it is a migration in Go, which only the program that it is built into can run; \
                       let that program migrate, or write the migration in SQL";
            return Err(SourceError::Malformed { path, why: why.to_owned() });
        }
    }
    Ok(())
}

/// The number in front of the first underscore, which begins with 1, and what stands behind it.
fn version(file_name: &str) -> Option<(i64, &str)> {
    let (digits, rest) = file_name.split_once('_')?;
    digits.parse().ok().filter(|version| *version > 0).map(|version| (version, rest))
}

/// What stands behind `-- +goose`.
fn annotation(line: &str) -> Option<&str> {
    let text = line.strip_prefix("--")?.trim().strip_prefix("+goose")?;
    Some(text.trim())
}

/// In bytes, and in order.
type Parts = Vec<Range<usize>>;

/// The stretches of a file that run on the way up and on the way down.
#[derive(Debug, PartialEq, Eq)]
struct Ways {
    up: Parts,
    down: Option<Parts>,
    transactional: bool,
}

impl Ways {
    /// What stands between `StatementBegin` and `StatementEnd` is a part of its own: it need not end in
    /// a semicolon.
    fn of(sql: &str) -> Result<Ways, String> {
        let (mut up, mut down): (Option<Parts>, Option<Parts>) = (None, None);
        let (mut transactional, mut in_statement) = (true, false);
        let mut number = 0;
        for (at, line) in lines(sql) {
            number += 1;
            let goes_down = down.is_some();
            let way = down.as_mut().or(up.as_mut());
            let Some(annotation) = annotation(line) else {
                if way.is_none() && !line.trim().is_empty() && !line.trim().starts_with("--") {
                    return Err(format!(
                        "line {number} stands before '-- +goose Up', which goose refuses; move it behind"
                    ));
                }
                continue;
            };
            let rest = at + line.len()..sql.len();
            let ended = |way: &mut Parts| {
                if let Some(part) = way.last_mut() {
                    part.end = at;
                }
            };
            let misplaced = || format!("line {number}: '+goose {annotation}' is out of place here");
            match annotation.to_ascii_lowercase().as_str() {
                "up" if way.is_none() => up = Some(vec![rest]),
                "down" if !goes_down && !in_statement => {
                    ended(way.ok_or_else(misplaced)?);
                    down = Some(vec![rest]);
                }
                "statementbegin" | "statementend" => {
                    let begins = annotation.len() == "statementbegin".len();
                    let way = way.filter(|_| begins != in_statement).ok_or_else(misplaced)?;
                    in_statement = begins;
                    ended(way);
                    way.push(rest);
                }
                "no transaction" => transactional = false,
                "envsubst off" => {}
                "envsubst on" => {
                    return Err(format!(
                        "line {number}: premain puts no variables of the environment into SQL; \
                         write the values out, or let goose migrate"
                    ));
                }
                _ => return Err(misplaced()),
            }
        }
        if in_statement {
            return Err("a '+goose StatementBegin' has no StatementEnd".to_owned());
        }
        let up =
            up.ok_or("it has no line '-- +goose Up', behind which goose looks for the way up")?;
        let spoken = |parts: Parts| -> Parts {
            parts.into_iter().filter(|part| !sql[part.clone()].trim().is_empty()).collect()
        };
        Ok(Ways { up: spoken(up), down: down.map(spoken), transactional })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_as_goose_reads_them() {
        assert_eq!(version("00001_a_b.sql"), Some((1, "a_b.sql")));
        for name in ["0_a.sql", "a_1.sql", "1.sql", "1a_b.sql", "-1_a.sql"] {
            assert_eq!(version(name), None, "{name}");
        }
    }

    #[test]
    fn the_ways_are_told_apart() {
        let told = |sql: &'static str| {
            let ways = Ways::of(sql).unwrap();
            let texts = |parts: Parts| -> Vec<&str> {
                parts.into_iter().map(|part| sql[part].trim()).collect()
            };
            (texts(ways.up), ways.down.map(texts), ways.transactional)
        };
        assert_eq!(told("-- why\n-- +goose Up\nA;\nB;\n"), (vec!["A;\nB;"], None, true));
        assert_eq!(
            told(
                "-- +goose NO TRANSACTION\r\n--+goose up\r\nA;\r\n-- +goose StatementBegin\r\nB; C\r\n\
                 -- +goose StatementEnd\r\n\r\n-- +goose Down\r\n-- +goose StatementBegin\r\nD\r\n-- +goose StatementEnd\r\nE;"
            ),
            (vec!["A;", "B; C"], Some(vec!["D", "E;"]), false)
        );
    }

    #[test]
    fn what_makes_no_sense_to_goose() {
        for (sql, text) in [
            ("SELECT 1;", "line 1 stands before '-- +goose Up'"),
            ("-- nothing", "has no line '-- +goose Up'"),
            ("-- +goose Up\n-- +goose Up", "line 2: '+goose Up' is out of place"),
            ("-- +goose Down", "'+goose Down' is out of place"),
            ("-- +goose StatementBegin", "out of place"),
            ("-- +goose Up\n-- +goose StatementEnd", "out of place"),
            ("-- +goose Up\n-- +goose StatementBegin\n", "has no StatementEnd"),
            ("-- +goose Up\n-- +goose StatementBegin\n-- +goose Down", "out of place"),
            ("-- +goose ENVSUBST ON", "no variables of the environment"),
            ("-- +goose Sideways", "out of place"),
        ] {
            let error = Ways::of(sql).unwrap_err();
            assert!(error.contains(text), "{sql}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_stretches_of_the_file(sql in "(-- \\+goose (Up|Down|StatementBegin|StatementEnd|NO TRANSACTION)\r?\n|[a-z ;é-]{0,5}\n?){0,10}") {
            if let Ok(ways) = Ways::of(&sql) {
                let mut end = 0;
                for part in ways.up.into_iter().chain(ways.down.unwrap_or_default()) {
                    prop_assert!(end <= part.start && sql.get(part.clone()).is_some());
                    end = part.end;
                }
            }
        }
    }
}
