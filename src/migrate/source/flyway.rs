//! A folder of Flyway's: `V1_2__create_users.sql`, `R__views.sql`, at any depth, and the paid edition's
//! ways down, `U1_2__create_users.sql`.

use std::io;
use std::path::{Path, PathBuf};

use super::{
    Key, Migration, Order, Script, SourceError, Text, entries, is_file, pair, read_note, read_sql,
    sql_files,
};
use crate::migrate::Dotted;

/// Every migration below `folder`, in no particular order.
pub(super) fn read(folder: &Path) -> Result<Vec<Migration>, SourceError> {
    refuse_java(folder)?;
    let (mut migrations, mut downs) = (Vec::new(), Vec::new());
    for (file_name, file) in sql_files(folder, usize::MAX)? {
        let Some(Name { down, key, title }) = Name::parse(&file_name) else {
            tracing::warn!(
                "{} is no migration: its name is not like V1_2__create_users.sql or R__views.sql",
                file.display()
            );
            continue;
        };
        let settings = Settings::of(&file)?;
        let sql = read_sql(&file)?;
        let unreadable = |source| SourceError::Unreadable { path: file.clone(), source };
        let replaced =
            if settings.replaces { placeholder(&sql).map_err(unreadable)? } else { None };
        let mut script = Script { replaced, ..Script::whole(file, sql) };
        script.transactional &= settings.transactional;
        if down {
            downs.push((key, script));
            continue;
        }
        let order = if key.is_repeatable() { Order::Free } else { Order::Strict };
        migrations.push(Migration { key, name: title, order, up: script, down: None });
    }
    pair::join(migrations, downs)
}

/// Whether a file below `folder` means something to Flyway alone: a plain `V1__create_users.sql` is
/// refinery's as well.
pub(super) fn has_migration(folder: &Path) -> Result<bool, SourceError> {
    for (name, file) in sql_files(folder, usize::MAX)? {
        let Some(Name { key, .. }) = Name::parse(&name) else { continue };
        let head = name.split("__").next().unwrap_or_default();
        let dotted = name.contains("__") && head.contains(['.', '_']);
        if key.is_repeatable() || dotted || is_file(&settings_file(&file))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the first thing stands that Flyway replaces before the file runs, in characters, and why that
/// keeps the file from running here.
fn placeholder(sql: &Text) -> io::Result<Option<(usize, String)>> {
    let found = sql.lines(|at, line| {
        let begin = line.find("${")?;
        let end = line[begin..].find('}')?;
        Some((at + begin, line[begin..=begin + end].to_owned()))
    })?;
    let Some((offset, name)) = found else { return Ok(None) };
    let why = format!(
        "Flyway replaces {name} before it runs this, and premain does not: write what it stands for; \
         where Flyway leaves it as it is, say so in a file beside this one that ends in .sql.conf: \
         placeholderReplacement=false"
    );
    Ok(Some((sql.stretch(0..offset)?.chars().count(), why)))
}

/// A file name taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    down: bool,
    key: Key,
    title: String,
}

impl Name {
    /// `None` for a name that Flyway passes over.
    fn parse(file_name: &str) -> Option<Name> {
        let stem = file_name.strip_suffix(".sql")?;
        let (head, title) = stem.split_once("__").unwrap_or((stem, ""));
        let title = title.replace('_', " ");
        if head == "R" {
            let key = Key::Repeatable(title.clone());
            return (!title.is_empty()).then_some(Name { down: false, key, title });
        }
        let version = head.strip_prefix(['V', 'U'])?;
        let key = Key::Dotted(Dotted::parse(version)?);
        Some(Name { down: head.starts_with('U'), key, title })
    }
}

/// What stands in `V1__x.sql.conf`.
struct Settings {
    transactional: bool,
    replaces: bool,
}

impl Settings {
    fn of(file: &Path) -> Result<Settings, SourceError> {
        let mut settings = Settings { transactional: true, replaces: true };
        let path = settings_file(file);
        if !is_file(&path)? {
            return Ok(settings);
        }
        for line in read_note(&path)?.lines() {
            let line = line.trim();
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match (key.trim(), value.trim()) {
                _ if line.is_empty() || line.starts_with('#') => {}
                ("executeInTransaction", value) => settings.transactional = value != "false",
                ("placeholderReplacement", value) => settings.replaces = value != "false",
                ("encoding", value) if value.eq_ignore_ascii_case("UTF-8") => {}
                (key, _) => {
                    let why = format!(
                        "premain does not know '{key}'; here it knows executeInTransaction and placeholderReplacement"
                    );
                    return Err(SourceError::Malformed { path, why });
                }
            }
        }
        Ok(settings)
    }
}

fn settings_file(file: &Path) -> PathBuf {
    file.with_extension("sql.conf")
}

/// A migration in Java is a part of the program that it was built into.
fn refuse_java(folder: &Path) -> Result<(), SourceError> {
    for path in entries(folder, usize::MAX)? {
        let path = path?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_java = [".java", ".class", ".kt"].iter().find_map(|end| name.strip_suffix(end));
        if is_java.is_some_and(|stem| Name::parse(&format!("{stem}.sql")).is_some()) {
            let why = "it is a migration in Java, which only Flyway in its own program can run; \
                       let that program migrate, or write the migration in SQL";
            return Err(SourceError::Malformed { path, why: why.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_as_flyway_reads_them() {
        for (file_name, down, key, title) in [
            ("V1__create_users.sql", false, "1", "create users"),
            ("V1_2__x.sql", false, "1.2", "x"),
            ("V01.10__a__b.sql", false, "01.10", "a  b"),
            ("V2.sql", false, "2", ""),
            ("U1.2__x.sql", true, "1.2", "x"),
            ("R__the_views.sql", false, "R__the_views", "the views"),
        ] {
            let name = Name::parse(file_name).unwrap();
            let found = (name.down, name.key.to_string(), name.title);
            assert_eq!(found, (down, key.to_owned(), title.to_owned()), "{file_name}");
        }
        for other in ["v1__x.sql", "V__x.sql", "R1__x.sql", "R__.sql", "x.sql", "V1a__x.sql"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_flyway_would_replace_is_found() {
        let found = |sql: &str| placeholder(&Text::Here(sql.to_owned())).unwrap();
        assert_eq!(found("SELECT '$', '{}';\nSELECT '${';\n-- }"), None);
        let (at, why) = found("\u{feff}-- ä\nSELECT ${flyway:user};").unwrap();
        assert!(at == 13 && why.contains("replaces ${flyway:user} before"), "{at} {why}");
    }

    #[test]
    fn settings_beside_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("V1__a.sql", "SELECT '${x}'");
        write("V2__b.sql", "SELECT '${x}'");
        write(
            "V2__b.sql.conf",
            "# why\nexecuteInTransaction=false\nplaceholderReplacement = false\n",
        );
        let found = read(folder.path()).unwrap();
        let facts: Vec<_> = found
            .iter()
            .map(|migration| (migration.up.transactional, migration.up.replaced.is_some()))
            .collect();
        assert_eq!(facts, [(true, true), (false, false)]);
        write("V1__a.sql.conf", "shouldExecute=false");
        assert!(read(folder.path()).unwrap_err().to_string().contains("'shouldExecute'"));
    }
}
