//! Directories of Flyway: `V1_2__create_users.sql`, `R__views.sql`, at any depth, and the down migrations of its paid
//! edition, `U1_2__create_users.sql`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use time::UtcDateTime;

use crate::migrate::formats::directory::{is_file, read_metadata, read_sql, sorted, sql_files};
use crate::migrate::formats::down_files;
use crate::migrate::formats::scaffold::{Existing, NewFiles, comment, number_after};
use crate::migrate::migration::{Migration, Order, title_of_file};
use crate::migrate::source::error::SourceError;
use crate::migrate::sql::{Script, Text};
use crate::migrate::version::{Dotted, Version};

/// Every migration below `directory`.
pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, SourceError> {
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (file_name, file) in sql_files(directory, usize::MAX)? {
        let Some(FileName { down, version, description }) = FileName::parse(&file_name) else {
            continue;
        };
        let settings = ScriptSettings::read(&file)?;
        let sql = read_sql(&file)?;
        let unreadable = SourceError::unreadable(&file);
        let placeholder =
            if settings.replaces { placeholder(&sql).map_err(unreadable)? } else { None };
        let mut script = Script { placeholder, ..Script::whole(file, sql) };
        script.transactional &= settings.transactional;
        if down {
            downs.push((version, script));
            continue;
        }
        let order = if version.is_repeatable() { Order::Free } else { Order::Strict };
        let title = title_of_file(&file_name).to_owned();
        migrations.push(Migration {
            version,
            name: description,
            title,
            order,
            up: script,
            down: None,
        });
    }
    sorted(down_files::join(migrations, downs)?)
}

/// Whether a file below `directory` has a name that only Flyway uses: `V1__create_users.sql` may be refinery's, but refinery
/// has no down migration like `U1__create_users.sql` beside it.
pub(super) fn claims(directory: &Path) -> Result<bool, SourceError> {
    let mut versions = BTreeMap::new();
    for (name, file) in sql_files(directory, usize::MAX)? {
        let Some(FileName { version, down, .. }) = FileName::parse(&name) else { continue };
        let head = name.split("__").next().unwrap_or_default();
        let dotted = name.contains("__") && head.contains(['.', '_']);
        if version.is_repeatable() || dotted || is_file(&settings_file(&file))? {
            return Ok(true);
        }
        if versions.insert(version, down).is_some_and(|other| other != down) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn scaffold(existing: &Existing<'_>) -> NewFiles {
    let version = next_version(existing.newest(), existing.now);
    let name = format!("V{version}__{}.sql", existing.title);
    NewFiles::one(existing.newest_directory().join(&name), comment(&name))
}

/// The version after the newest one: its last number counts up, so `1.2` is followed by `1.3`.
fn next_version(newest: Option<&Migration>, now: UtcDateTime) -> String {
    let Some(newest) = newest else { return "1".to_owned() };
    let version = newest.version.to_string();
    match version.rsplit_once('.') {
        Some((parts, last)) => format!("{parts}.{}", number_after(last, now, "1")),
        None => number_after(&version, now, "1"),
    }
}

/// The first placeholder that Flyway would replace before the file runs: its position in characters, and the error.
fn placeholder(sql: &Text) -> io::Result<Option<(usize, String)>> {
    let found = sql.lines(|at, line| {
        let begin = line.find("${")?;
        let end = line[begin..].find('}')?;
        Some((at + begin, line[begin..=begin + end].to_owned()))
    })?;
    let Some((offset, name)) = found else { return Ok(None) };
    let why = format!(
        "Flyway replaces {name} before it runs this, and premain does not: write the value out; or, if Flyway does not replace \
         it either, write placeholderReplacement=false into a file beside this one with the ending .sql.conf"
    );
    Ok(Some((sql.slice(0..offset)?.chars().count(), why)))
}

/// The parts of a file name.
#[derive(Debug, PartialEq, Eq)]
struct FileName {
    down: bool,
    version: Version,
    description: String,
}

impl FileName {
    /// `None` if Flyway ignores the name.
    fn parse(file_name: &str) -> Option<FileName> {
        let stem = file_name.strip_suffix(".sql")?;
        let (head, description) = stem.split_once("__").unwrap_or((stem, ""));
        let description = description.replace('_', " ");
        if head == "R" {
            let version = Version::Repeatable(description.clone());
            let named = !description.is_empty();
            return named.then_some(FileName { down: false, version, description });
        }
        let version = Version::Dotted(Dotted::parse(head.strip_prefix(['V', 'U'])?)?);
        Some(FileName { down: head.starts_with('U'), version, description })
    }
}

/// The settings in `V1__x.sql.conf`.
struct ScriptSettings {
    transactional: bool,
    replaces: bool,
}

impl ScriptSettings {
    fn read(file: &Path) -> Result<ScriptSettings, SourceError> {
        let mut settings = ScriptSettings { transactional: true, replaces: true };
        let path = settings_file(file);
        if !is_file(&path)? {
            return Ok(settings);
        }
        for line in read_metadata(&path)?.lines() {
            let line = line.trim();
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match (key.trim(), value.trim()) {
                _ if line.is_empty() || line.starts_with('#') => {}
                ("executeInTransaction", value) => settings.transactional = value != "false",
                ("placeholderReplacement", value) => settings.replaces = value != "false",
                ("encoding", value) if value.eq_ignore_ascii_case("UTF-8") => {}
                (key, _) => {
                    let why = format!(
                        "premain does not know the setting '{key}'; it knows executeInTransaction and placeholderReplacement"
                    );
                    return Err(SourceError::malformed(&path, why));
                }
            }
        }
        Ok(settings)
    }
}

fn settings_file(file: &Path) -> PathBuf {
    file.with_extension("sql.conf")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_names_are_parsed_as_flyway_parses_them() {
        for (file_name, down, version, description) in [
            ("V1__create_users.sql", false, "1", "create users"),
            ("V1_2__x.sql", false, "1.2", "x"),
            ("V01.10__a__b.sql", false, "01.10", "a  b"),
            ("V2.sql", false, "2", ""),
            ("U1.2__x.sql", true, "1.2", "x"),
            ("R__the_views.sql", false, "R__the_views", "the views"),
        ] {
            let name = FileName::parse(file_name).unwrap();
            let found = (name.down, name.version.to_string(), name.description);
            assert_eq!(found, (down, version.to_owned(), description.to_owned()), "{file_name}");
        }
        for other in ["v1__x.sql", "V__x.sql", "R1__x.sql", "R__.sql", "x.sql", "V1a__x.sql"] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn placeholders_are_found() {
        let found = |sql: &str| placeholder(&Text::InMemory(sql.to_owned())).unwrap();
        assert_eq!(found("SELECT '$', '{}';\nSELECT '${';\n-- }"), None);
        let (at, why) = found("\u{feff}-- ä\nSELECT ${flyway:user};").unwrap();
        assert!(at == 13 && why.contains("replaces ${flyway:user} before"), "{at} {why}");
    }

    #[test]
    fn the_settings_of_a_script_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("V1__a.sql", "SELECT '${x}'");
        write("V2__b.sql", "SELECT '${x}'");
        write(
            "V2__b.sql.conf",
            "# why\nexecuteInTransaction=false\nplaceholderReplacement = false\n",
        );
        let found = read(directory.path()).unwrap();
        let facts: Vec<_> = found
            .iter()
            .map(|migration| (migration.up.transactional, migration.up.placeholder.is_some()))
            .collect();
        assert_eq!(facts, [(true, true), (false, false)]);
        write("V1__a.sql.conf", "shouldExecute=false");
        assert!(read(directory.path()).unwrap_err().to_string().contains("'shouldExecute'"));
    }
}
