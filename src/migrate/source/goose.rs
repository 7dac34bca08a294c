//! A folder of goose's SQL files: `00001_create_users.sql`, with the way up behind `-- +goose Up` and
//! the way down behind `-- +goose Down`.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::{
    Key, Migration, Order, Script, SourceError, Text, entries, read_sql, sql_files, warn_of_name,
};

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    refuse_go(folder)?;
    let mut migrations = Vec::new();
    for (name, file) in sql_files(folder, 1)? {
        let Some((version, title)) = version(&name) else {
            warn_of_name(&file, "00001_create_users.sql");
            continue;
        };
        let sql = read_sql(&file)?;
        let ways = Ways::of(&sql)
            .map_err(|source| SourceError::Unreadable { path: file.clone(), source })?
            .map_err(|why| SourceError::Malformed { path: file.clone(), why })?;
        let script = |parts: Parts| Script {
            file: file.clone(),
            sql: sql.clone(),
            replaced: None,
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
    for path in entries(folder, 1)? {
        let path = path?;
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
    fn of(sql: &Text) -> io::Result<Result<Ways, String>> {
        let (mut up, mut down): (Option<Parts>, Option<Parts>) = (None, None);
        let (mut transactional, mut in_statement) = (true, false);
        let mut number = 0;
        let wrong = sql.lines(|at, line| {
            number += 1;
            let goes_down = down.is_some();
            let way = down.as_mut().or(up.as_mut());
            let Some(annotation) = annotation(line) else {
                let speaks = !line.trim().is_empty() && !line.trim().starts_with("--");
                return (way.is_none() && speaks).then(|| {
                    format!(
                        "line {number} stands before '-- +goose Up', which goose refuses; move it behind"
                    )
                });
            };
            let rest = at + line.len()..sql.len();
            let ended = |way: &mut Parts| {
                if let Some(part) = way.last_mut() {
                    part.end = at;
                }
            };
            let misplaced = || Some(format!("line {number}: '+goose {annotation}' is out of place here"));
            match (annotation.to_ascii_lowercase().as_str(), way) {
                ("up", None) => up = Some(vec![rest]),
                ("down", Some(way)) if !goes_down && !in_statement => {
                    ended(way);
                    down = Some(vec![rest]);
                }
                (word @ ("statementbegin" | "statementend"), Some(way)) => {
                    let begins = word == "statementbegin";
                    if begins == in_statement {
                        return misplaced();
                    }
                    in_statement = begins;
                    ended(way);
                    way.push(rest);
                }
                ("no transaction", _) => transactional = false,
                ("envsubst off", _) => {}
                ("envsubst on", _) => {
                    return Some(format!(
                        "line {number}: premain puts no variables of the environment into SQL; \
                         write the values out, or let goose migrate"
                    ));
                }
                _ => return misplaced(),
            }
            None
        })?;
        let missing = match (&wrong, in_statement, &up) {
            (Some(why), ..) => Some(why.as_str()),
            (None, true, _) => Some("a '+goose StatementBegin' has no StatementEnd"),
            (None, false, None) => {
                Some("it has no line '-- +goose Up', behind which goose looks for the way up")
            }
            (None, false, Some(_)) => None,
        };
        if let Some(why) = missing {
            return Ok(Err(why.to_owned()));
        }
        let says =
            |part: &Range<usize>| sql.here().is_none_or(|sql| !sql[part.clone()].trim().is_empty());
        let spoken = |parts: Parts| -> Parts { parts.into_iter().filter(says).collect() };
        let (up, down) = (spoken(up.unwrap_or_default()), down.map(spoken));
        Ok(Ok(Ways { up, down, transactional }))
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
            let ways = Ways::of(&Text::from(sql.to_owned())).unwrap().unwrap();
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
            let error = Ways::of(&Text::from(sql.to_owned())).unwrap().unwrap_err();
            assert!(error.contains(text), "{sql}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_stretches_of_the_file(sql in "(-- \\+goose (Up|Down|StatementBegin|StatementEnd|NO TRANSACTION)\r?\n|[a-z ;é-]{0,5}\n?){0,10}") {
            if let Ok(ways) = Ways::of(&Text::from(sql.clone())).unwrap() {
                let mut end = 0;
                for part in ways.up.into_iter().chain(ways.down.unwrap_or_default()) {
                    prop_assert!(end <= part.start && sql.get(part.clone()).is_some());
                    end = part.end;
                }
            }
        }
    }
}
