//! Directories of goose's SQL files: `00001_create_users.sql`, with the up migration after `-- +goose Up` and the down
//! migration after `-- +goose Down`.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::migrate::formats::directory::{read_sql, sorted, sql_files};
use crate::migrate::formats::scaffold::{Existing, NewFiles};
use crate::migrate::formats::timestamp::timestamp;
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::{Script, Text};
use crate::migrate::version::Version;

/// What goose writes into a new file.
pub(super) const TEMPLATE: &str = "-- +goose Up\n-- +goose StatementBegin\nSELECT 'up SQL query';\n-- +goose StatementEnd\n\n\
     -- +goose Down\n-- +goose StatementBegin\nSELECT 'down SQL query';\n-- +goose StatementEnd\n";

/// Every migration in `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (file_name, file) in sql_files(directory, 1)? {
        let Some((version, name)) = version(&file_name) else {
            continue;
        };
        let sql = read_sql(&file)?;
        let directions = Directions::parse(&file, &sql)?;
        let script = |parts: Parts| Script {
            file: file.clone(),
            sql: sql.clone(),
            placeholder: None,
            parts,
            transactional: directions.transactional,
        };
        migrations.push(Migration {
            version: Version::Number(version),
            name: name.trim_end_matches(".sql").to_owned(),
            title: title_of_file(&file_name).to_owned(),
            order: Order::Strict,
            up: script(directions.up),
            down: directions.down.map(script),
        });
    }
    sorted(migrations)
}

/// Whether a line of the file is one of goose's annotations.
pub(super) fn claims_file(sql: &Text) -> io::Result<bool> {
    Ok(sql.lines(|_, line| annotation(line).map(drop))?.is_some())
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let first = timestamp(existing.now);
    existing.numbered(&first, &[".sql"], |_| TEMPLATE.to_owned())
}

/// The number before the first underscore, at least 1, and the text after it.
fn version(file_name: &str) -> Option<(i64, &str)> {
    let (digits, rest) = file_name.split_once('_')?;
    digits.parse().ok().filter(|version| *version > 0).map(|version| (version, rest))
}

/// The text after `-- +goose`.
fn annotation(line: &str) -> Option<&str> {
    let text = line.strip_prefix("--")?.trim().strip_prefix("+goose")?;
    Some(text.trim())
}

/// Ranges of bytes, in order.
type Parts = Vec<Range<usize>>;

/// The parts of a file that are the up migration and the down migration.
#[derive(Debug, PartialEq, Eq)]
struct Directions {
    up: Parts,
    down: Option<Parts>,
    transactional: bool,
}

impl Directions {
    /// The text between `StatementBegin` and `StatementEnd` is a part of its own: it need not end in a semicolon.
    fn parse(file: &Path, sql: &Text) -> Result<Directions, SourceError> {
        let (mut up, mut down): (Option<Parts>, Option<Parts>) = (None, None);
        let (mut transactional, mut in_statement) = (true, false);
        let mut number = 0;
        let wrong = sql.lines(|at, line| {
            number += 1;
            let is_down = down.is_some();
            let current = down.as_mut().or(up.as_mut());
            let Some(annotation) = annotation(line) else {
                let has_text = !line.trim().is_empty() && !line.trim().starts_with("--");
                return (current.is_none() && has_text).then(|| {
                    format!(
                        "line {number} comes before '-- +goose Up', which goose rejects; move it below"
                    )
                });
            };
            let rest = at + line.len()..sql.len();
            let end_part = |parts: &mut Parts| {
                if let Some(part) = parts.last_mut() {
                    part.end = at;
                }
            };
            let misplaced = || Some(format!("line {number}: '+goose {annotation}' is not allowed here"));
            match (annotation.to_ascii_lowercase().as_str(), current) {
                ("up", None) => up = Some(vec![rest]),
                ("down", Some(current)) if !is_down && !in_statement => {
                    end_part(current);
                    down = Some(vec![rest]);
                }
                (word @ ("statementbegin" | "statementend"), Some(current)) => {
                    let begins = word == "statementbegin";
                    if begins == in_statement {
                        return misplaced();
                    }
                    in_statement = begins;
                    end_part(current);
                    current.push(rest);
                }
                ("no transaction", _) => transactional = false,
                ("envsubst off", _) => {}
                ("envsubst on", _) => {
                    return Some(format!(
                        "line {number}: premain does not substitute environment variables in SQL; \
                         write the values out, or let goose migrate"
                    ));
                }
                _ => return misplaced(),
            }
            None
        });
        let wrong = wrong.map_err(SourceError::unreadable(file))?;
        let missing = match (&wrong, in_statement, &up) {
            (Some(why), ..) => Some(why.as_str()),
            (None, true, _) => Some("a '+goose StatementBegin' has no StatementEnd"),
            (None, false, None) => {
                Some("it has no line '-- +goose Up', after which goose expects the up migration")
            }
            (None, false, Some(_)) => None,
        };
        if let Some(why) = missing {
            return Err(SourceError::malformed(file, why));
        }
        let has_text = |part: &Range<usize>| {
            sql.in_memory().is_none_or(|sql| !sql[part.clone()].trim().is_empty())
        };
        let with_text = |parts: Parts| -> Parts { parts.into_iter().filter(has_text).collect() };
        let (up, down) = (with_text(up.unwrap_or_default()), down.map(with_text));
        Ok(Directions { up, down, transactional })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_names_are_parsed_as_goose_parses_them() {
        assert_eq!(version("00001_a_b.sql"), Some((1, "a_b.sql")));
        for name in ["0_a.sql", "a_1.sql", "1.sql", "1a_b.sql", "-1_a.sql"] {
            assert_eq!(version(name), None, "{name}");
        }
    }

    #[test]
    fn up_and_down_are_separated() {
        let parse = |sql: &'static str| {
            let found =
                Directions::parse(Path::new("1_a.sql"), &Text::from(sql.to_owned())).unwrap();
            let texts = |parts: Parts| -> Vec<&str> {
                parts.into_iter().map(|part| sql[part].trim()).collect()
            };
            (texts(found.up), found.down.map(texts), found.transactional)
        };
        assert_eq!(parse("-- why\n-- +goose Up\nA;\nB;\n"), (vec!["A;\nB;"], None, true));
        assert_eq!(
            parse(
                "-- +goose NO TRANSACTION\r\n--+goose up\r\nA;\r\n-- +goose StatementBegin\r\nB; C\r\n\
                 -- +goose StatementEnd\r\n\r\n-- +goose Down\r\n-- +goose StatementBegin\r\nD\r\n-- +goose StatementEnd\r\nE;"
            ),
            (vec!["A;", "B; C"], Some(vec!["D", "E;"]), false)
        );
    }

    #[test]
    fn files_that_goose_rejects_are_rejected() {
        for (sql, text) in [
            ("SELECT 1;", "line 1 comes before '-- +goose Up'"),
            ("-- nothing", "has no line '-- +goose Up'"),
            ("-- +goose Up\n-- +goose Up", "line 2: '+goose Up' is not allowed"),
            ("-- +goose Down", "'+goose Down' is not allowed"),
            ("-- +goose StatementBegin", "not allowed"),
            ("-- +goose Up\n-- +goose StatementEnd", "not allowed"),
            ("-- +goose Up\n-- +goose StatementBegin\n", "has no StatementEnd"),
            ("-- +goose Up\n-- +goose StatementBegin\n-- +goose Down", "not allowed"),
            ("-- +goose ENVSUBST ON", "does not substitute environment variables"),
            ("-- +goose Sideways", "not allowed"),
        ] {
            let error = Directions::parse(Path::new("1_a.sql"), &Text::from(sql.to_owned()));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(text), "{sql}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_ranges_of_the_file(sql in "(-- \\+goose (Up|Down|StatementBegin|StatementEnd|NO TRANSACTION)\r?\n|[a-z ;é-]{0,5}\n?){0,10}") {
            if let Ok(found) = Directions::parse(Path::new("1_a.sql"), &Text::from(sql.clone())) {
                let mut end = 0;
                for part in found.up.into_iter().chain(found.down.unwrap_or_default()) {
                    prop_assert!(end <= part.start && sql.get(part.clone()).is_some());
                    end = part.end;
                }
            }
        }
    }
}
