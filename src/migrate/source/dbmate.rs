//! A folder of dbmate's: `20240101120000_create_users.sql`, with the way up behind `-- migrate:up` and
//! the way down behind `-- migrate:down`.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::{Key, Migration, Order, Script, SourceError, Text, read_sql, sql_files, warn_of_name};
use crate::migrate::Digits;

/// Every migration of `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    let mut migrations = Vec::new();
    for (name, file) in sql_files(folder, 1)? {
        let stem = name.strip_suffix(".sql").unwrap_or(&name);
        let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
        let (version, title) = stem.split_at(end);
        if version.is_empty() {
            warn_of_name(&file, "20240101120000_create_users.sql");
            continue;
        }
        let sql = read_sql(&file)?;
        let (up, down) = blocks(&sql)
            .map_err(|source| SourceError::Unreadable { path: file.clone(), source })?
            .map_err(|why| SourceError::Malformed { path: file.clone(), why: why.to_owned() })?;
        let script = |block: Block| Script {
            file: file.clone(),
            parts: vec![block.stretch],
            transactional: block.transactional,
            sql: sql.clone(),
            replaced: None,
        };
        migrations.push(Migration {
            key: Key::Digits(Digits(version.to_owned())),
            name: title.trim_start_matches(['_', '-']).to_owned(),
            order: Order::Strict,
            down: down.map(script),
            up: script(up),
        });
    }
    Ok(migrations)
}

/// Whether the line parts the ways.
pub(super) fn is_marker(line: &str) -> bool {
    Marker::parse(line).is_some()
}

#[derive(Debug, PartialEq, Eq)]
struct Block {
    stretch: Range<usize>,
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
        // The last one counts.
        let option = options.split_whitespace().rev().find(|word| word.starts_with("transaction:"));
        ends.then_some(Marker { up, transactional: option != Some("transaction:false") })
    }
}

/// The way up, and the way down if there is one; dbmate itself insists on both markers.
fn blocks(sql: &Text) -> io::Result<Result<(Block, Option<Block>), &'static str>> {
    let (mut up, mut down): (Option<Block>, Option<Block>) = (None, None);
    let wrong = sql.lines(|at, line| {
        let Some(marker) = Marker::parse(line) else {
            let speaks = !line.trim().is_empty() && !line.trim_start().starts_with("--");
            return (up.is_none() && speaks).then_some(
                "a statement stands before '-- migrate:up', which dbmate refuses; move it behind",
            );
        };
        let block = Block { stretch: at..sql.len(), transactional: marker.transactional };
        match (marker.up, &mut up, &mut down) {
            (true, None, None) => up = Some(block),
            (false, Some(up), None) => {
                up.stretch.end = at;
                down = Some(block);
            }
            (false, None, _) => return Some("'-- migrate:down' stands before '-- migrate:up'"),
            (true, ..) => {
                return Some(
                    "it holds '-- migrate:up' twice, which dbmate cannot record; make two files of it",
                );
            }
            (false, ..) => return Some("it holds '-- migrate:down' twice; keep one"),
        }
        None
    })?;
    Ok(match (wrong, up) {
        (Some(why), _) => Err(why),
        (None, Some(up)) => Ok((up, down)),
        (None, None) => {
            Err("it has no line '-- migrate:up', behind which dbmate looks for the way up")
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ways_are_told_apart() {
        let told = |sql: &str| {
            let (up, down) = blocks(&Text::from(sql.to_owned())).unwrap().unwrap();
            let text = |block: Block| (sql[block.stretch].to_owned(), block.transactional);
            (text(up), down.map(text))
        };
        let (up, down) = told("-- why\n\n-- migrate:up\nA;\n-- migrate:down transaction:false\nB;");
        assert_eq!(up, ("-- migrate:up\nA;\n".to_owned(), true));
        assert_eq!(down, Some(("-- migrate:down transaction:false\nB;".to_owned(), false)));
        let (up, down) = told("\u{feff}--migrate:up  x:y transaction:false\r\nA;\r\n");
        assert_eq!(up.0, "--migrate:up  x:y transaction:false\r\nA;\r\n");
        assert!(!up.1 && down.is_none());
    }

    #[test]
    fn what_makes_no_sense_to_dbmate() {
        for (sql, text) in [
            ("SELECT 1;", "a statement stands before"),
            ("-- nothing", "has no line '-- migrate:up'"),
            (" -- migrate:up", "has no line"),
            ("-- migrate:upwards", "has no line"),
            ("-- migrate:down\n-- migrate:up", "stands before '-- migrate:up'"),
            ("-- migrate:up\n-- migrate:down\n-- migrate:up", "'-- migrate:up' twice"),
            ("-- migrate:up\n-- migrate:down\n-- migrate:down", "'-- migrate:down' twice"),
        ] {
            let error = blocks(&Text::from(sql.to_owned())).unwrap().unwrap_err();
            assert!(error.contains(text), "{sql}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_the_ways(sql in "(-- migrate:(up|down)( transaction:false)?\r?\n|[a-z ;é-]{0,5}\n?){0,8}") {
            if let Ok((up, Some(down))) = blocks(&Text::from(sql.clone())).unwrap() {
                prop_assert_eq!(up.stretch.end, down.stretch.start);
                prop_assert_eq!(down.stretch.end, sql.len());
                prop_assert!(sql.get(up.stretch).is_some());
            }
        }
    }
}
