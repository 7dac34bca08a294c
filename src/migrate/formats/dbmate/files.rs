//! Directories of dbmate: `20240101120000_create_users.sql`, with the up migration after `-- migrate:up` and the down
//! migration after `-- migrate:down`.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::migrate::formats::directory::{read_sql, sorted, sql_files};
use crate::migrate::formats::scaffold::{Existing, NewFiles};
use crate::migrate::formats::timestamp::timestamp;
use crate::migrate::migration::{Migration, Order};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::{Script, Text};
use crate::migrate::version::{Digits, Version};

/// What dbmate writes into a new file.
pub(super) const TEMPLATE: &str = "-- migrate:up\n\n\n-- migrate:down\n\n";

/// Every migration in `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (name, file) in sql_files(directory, 1)? {
        let stem = name.strip_suffix(".sql").unwrap_or(&name);
        let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
        let (version, rest) = stem.split_at(end);
        if version.is_empty() {
            continue;
        }
        let sql = read_sql(&file)?;
        let (up, down) = blocks(&file, &sql)?;
        let script = |block: Block| Script {
            file: file.clone(),
            parts: vec![block.range],
            transactional: block.transactional,
            sql: sql.clone(),
            placeholder: None,
        };
        migrations.push(Migration {
            version: Version::Digits(Digits(version.to_owned())),
            name: rest.trim_start_matches(['_', '-']).to_owned(),
            title: stem.to_owned(),
            order: Order::Strict,
            down: down.map(script),
            up: script(up),
        });
    }
    sorted(migrations)
}

/// Whether a line of the file is one of dbmate's markers.
pub(super) fn claims_file(sql: &Text) -> io::Result<bool> {
    Ok(sql.lines(|_, line| Marker::parse(line).map(drop))?.is_some())
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let first = timestamp(existing.now);
    existing.numbered(&first, &[".sql"], |_| TEMPLATE.to_owned())
}

#[derive(Debug, PartialEq, Eq)]
struct Block {
    range: Range<usize>,
    transactional: bool,
}

/// `-- migrate:up transaction:false`
struct Marker {
    up: bool,
    transactional: bool,
}

impl Marker {
    fn parse(line: &str) -> Option<Marker> {
        let text = line.strip_prefix("--")?.trim_start().strip_prefix("migrate:")?;
        let (up, options) = match text.strip_prefix("up") {
            Some(options) => (true, options),
            None => (false, text.strip_prefix("down")?),
        };
        let ends = options.is_empty() || options.starts_with(char::is_whitespace);
        // The last option counts.
        let option = options.split_whitespace().rev().find(|word| word.starts_with("transaction:"));
        ends.then_some(Marker { up, transactional: option != Some("transaction:false") })
    }
}

/// The up migration, and the down migration if there is one; dbmate itself insists on both markers.
fn blocks(file: &Path, sql: &Text) -> Result<(Block, Option<Block>), SourceError> {
    let (mut up, mut down): (Option<Block>, Option<Block>) = (None, None);
    let wrong = sql.lines(|at, line| {
        let Some(marker) = Marker::parse(line) else {
            let is_statement = !line.trim().is_empty() && !line.trim_start().starts_with("--");
            return (up.is_none() && is_statement).then_some(
                "a statement comes before '-- migrate:up', which dbmate rejects; move it below",
            );
        };
        let block = Block { range: at..sql.len(), transactional: marker.transactional };
        match (marker.up, &mut up, &mut down) {
            (true, None, None) => up = Some(block),
            (false, Some(up), None) => {
                up.range.end = at;
                down = Some(block);
            }
            (false, None, _) => return Some("'-- migrate:down' comes before '-- migrate:up'"),
            (true, ..) => {
                return Some(
                    "it holds '-- migrate:up' twice, which dbmate cannot record; split it into two files",
                );
            }
            (false, ..) => return Some("it holds '-- migrate:down' twice; keep one"),
        }
        None
    });
    let wrong = wrong.map_err(SourceError::unreadable(file))?;
    let why = match (wrong, up) {
        (Some(why), _) => why,
        (None, Some(up)) => return Ok((up, down)),
        (None, None) => {
            "it has no line '-- migrate:up', after which dbmate expects the up migration"
        }
    };
    Err(SourceError::malformed(file, why))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn up_and_down_are_separated() {
        let parse = |sql: &str| {
            let (up, down) = blocks(Path::new("1_a.sql"), &Text::from(sql.to_owned())).unwrap();
            let text = |block: Block| (sql[block.range].to_owned(), block.transactional);
            (text(up), down.map(text))
        };
        let (up, down) =
            parse("-- why\n\n-- migrate:up\nA;\n-- migrate:down transaction:false\nB;");
        assert_eq!(up, ("-- migrate:up\nA;\n".to_owned(), true));
        assert_eq!(down, Some(("-- migrate:down transaction:false\nB;".to_owned(), false)));
        let (up, down) = parse("\u{feff}--migrate:up  x:y transaction:false\r\nA;\r\n");
        assert_eq!(up.0, "--migrate:up  x:y transaction:false\r\nA;\r\n");
        assert!(!up.1 && down.is_none());
    }

    #[test]
    fn files_that_dbmate_rejects_are_rejected() {
        for (sql, text) in [
            ("SELECT 1;", "a statement comes before"),
            ("-- nothing", "has no line '-- migrate:up'"),
            (" -- migrate:up", "has no line"),
            ("-- migrate:upwards", "has no line"),
            ("-- migrate:down\n-- migrate:up", "comes before '-- migrate:up'"),
            ("-- migrate:up\n-- migrate:down\n-- migrate:up", "'-- migrate:up' twice"),
            ("-- migrate:up\n-- migrate:down\n-- migrate:down", "'-- migrate:down' twice"),
        ] {
            let error = blocks(Path::new("1_a.sql"), &Text::from(sql.to_owned()));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(text), "{sql}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_up_and_down(sql in "(-- migrate:(up|down)( transaction:false)?\r?\n|[a-z ;é-]{0,5}\n?){0,8}") {
            if let Ok((up, Some(down))) = blocks(Path::new("1_a.sql"), &Text::from(sql.clone())) {
                prop_assert_eq!(up.range.end, down.range.start);
                prop_assert_eq!(down.range.end, sql.len());
                prop_assert!(sql.get(up.range).is_some());
            }
        }
    }
}
