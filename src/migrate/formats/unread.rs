//! What an entry of a directory is that its format does not read: known to be harmless, or a
//! migration that would be skipped. Names decide.
//!
//! It uses nothing but the standard library: build.rs includes this file.

/// What an entry is that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is often found beside migrations.
    Harmless,
    /// It looks like a migration: what it is, and what to do.
    Migration(String),
    /// An SQL file that has no migration's name.
    Sql,
    /// Something else.
    Other,
}

/// SQL files that usually are beside migrations.
const HARMLESS_SQL: &[&str] = &["schema.sql", "structure.sql", "seed.sql", "seeds.sql"];

/// Files that only one tool has, whose migrations have no names that show it.
const OTHER_TOOLS: &[(&str, &str)] = &[("sqitch.plan", "Sqitch"), ("script.py.mako", "Alembic")];

/// Directories that usually are beside migrations, whatever is in them.
const HARMLESS_DIRECTORIES: &[&str] = &[
    "__pycache__",
    "__snapshots__",
    "__tests__",
    "archive",
    "archived",
    "backup",
    "backups",
    "docs",
    "down",
    "downs",
    "drafts",
    "examples",
    "fixtures",
    "legacy",
    "lost+found",
    "manual",
    "meta",
    "node_modules",
    "old",
    "revert",
    "reverts",
    "rollback",
    "rollbacks",
    "scripts",
    "seed",
    "seeders",
    "seeds",
    "snapshots",
    "test",
    "testdata",
    "tests",
    "undo",
];

/// Endings of SQL that is not read.
const OTHER_SQL: &[&str] = &["ddl", "pg", "pgsql", "plpgsql", "postgres", "postgresql", "psql"];

/// Endings of a file that becomes SQL when a template is filled in or it is unpacked:
/// `001_a.sql.gz`.
const NOT_YET_SQL: &[&str] = &[
    "bz2", "ejs", "erb", "gotmpl", "gz", "hbs", "j2", "jinja", "jinja2", "template", "tmpl", "tpl",
    "xz", "zip", "zst",
];

/// Languages that tools write migrations in, by the ending of the file.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("C#", &["cs"]),
    ("Clojure", &["clj", "edn"]),
    ("CoffeeScript", &["coffee"]),
    ("Crystal", &["cr"]),
    ("Dart", &["dart"]),
    ("Elixir", &["ex", "exs"]),
    ("F#", &["fs", "fsx"]),
    ("Go", &["go"]),
    ("Groovy", &["groovy"]),
    ("HCL", &["hcl"]),
    ("JSON", &["json"]),
    ("Java", &["class", "java"]),
    ("JavaScript", &["cjs", "js", "jsx", "mjs"]),
    ("Kotlin", &["kt", "kts"]),
    ("Lua", &["lua"]),
    ("PHP", &["php"]),
    ("Perl", &["pl", "pm"]),
    ("Python", &["py"]),
    ("Ruby", &["rb"]),
    ("Rust", &["rs"]),
    ("Scala", &["scala"]),
    ("Swift", &["swift"]),
    ("TOML", &["toml"]),
    ("TypeScript", &["cts", "mts", "ts", "tsx"]),
    ("XML", &["xml"]),
    ("YAML", &["yaml", "yml"]),
    ("a shell script", &["bash", "bat", "cmd", "ps1", "sh"]),
];

/// What a file of this name is. `why_not_read` says why an SQL file with a migration's name is not
/// read, and what to do.
pub(crate) fn file(name: &str, why_not_read: &str) -> Unread {
    let lower = name.to_lowercase();
    let (stem, ending) = lower.rsplit_once('.').unwrap_or((&lower, ""));
    let is_down =
        stem.split('.').any(|part| matches!(part, "down" | "undo" | "rollback" | "revert"));
    let is_test = ["_test", ".test", ".spec", "_spec", ".d", "snapshot"]
        .iter()
        .any(|word| stem.ends_with(word));
    if is_down || HARMLESS_SQL.contains(&lower.as_str()) {
        return Unread::Harmless;
    }
    let migration = |why: String| Unread::Migration(why);
    if let Some((_, tool)) = OTHER_TOOLS.iter().find(|(file, _)| *file == lower) {
        return migration(format!(
            "it is {tool}'s, whose migrations premain does not run; let {tool} migrate (--migrations none, and a hook)"
        ));
    }
    if lower == "up.sql" {
        return migration(
            "it is laid out as diesel or Hasura does it, with a directory for each migration, which premain does not read; \
             let that tool migrate, or name the file as in 001_create_users.up.sql"
                .to_owned(),
        );
    }
    if !looks_like_migration(&lower) && lower != "migration.sql" {
        return if ending == "sql" { Unread::Sql } else { Unread::Other };
    }
    if ending == "sql" {
        return migration(match name.ends_with(".sql") {
            true => format!("it looks like a migration and is not read: {why_not_read}"),
            false => {
                "its ending is not .sql in lower case, so it is not read; rename it".to_owned()
            }
        });
    }
    if OTHER_SQL.contains(&ending) || ending.is_empty() {
        return migration(
            "it looks like a migration, and only files that end in .sql are read; rename it"
                .to_owned(),
        );
    }
    if stem.ends_with(".sql") && NOT_YET_SQL.contains(&ending) {
        return migration(format!(
            "it looks like a migration, and .{ending} is not read; put the SQL itself into the directory"
        ));
    }
    match LANGUAGES.iter().find(|(_, endings)| endings.contains(&ending)) {
        Some((language, _)) if !is_test => migration(format!(
            "it is a migration in {language}, which only its own tool can run; let that tool migrate \
             (--migrations none, and a hook), or write the migration in SQL"
        )),
        _ => Unread::Other,
    }
}

/// What a directory of this name is, of which nothing is read and which holds these files.
pub(crate) fn directory(name: &str, files: &[String]) -> Unread {
    if is_harmless_directory(name) {
        return Unread::Harmless;
    }
    let lower = name.to_lowercase();
    let is_migration = |file_name: &&String| {
        let is_sql = file_name.to_lowercase().ends_with(".sql");
        is_sql && looks_like_migration(&lower)
            || matches!(file(file_name, ""), Unread::Migration(_))
    };
    match files.iter().find(is_migration) {
        Some(found) if found == "up.sql" => file(found, ""),
        Some(found) => Unread::Migration(format!(
            "it is not read, and {found} in it looks like a migration; move the migrations up, or name the right directory with --migrations"
        )),
        None => Unread::Other,
    }
}

/// Whether a directory of this name is often found beside migrations.
pub(crate) fn is_harmless_directory(name: &str) -> bool {
    HARMLESS_DIRECTORIES.contains(&name.to_lowercase().as_str())
}

/// Whether a file name, in lower case, begins as a tool's migrations do: `001_`, `20240101120000-`,
/// `V1_2__`, `R__`, `m20240101_`, `Version2024`.
pub(crate) fn looks_like_migration(name: &str) -> bool {
    let begins_with_digits = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let after_digits = |text: &str| {
        let rest = text
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_' || c == '-');
        text.len() - rest.len()
    };
    if begins_with_digits(name) || name.starts_with("r__") {
        return true;
    }
    // Flyway's and refinery's letters, with a separator behind the number.
    let letter = name.strip_prefix(['v', 'u', 'b', 'r']);
    if letter.is_some_and(|rest| begins_with_digits(rest) && rest.contains(['_', '.'])) {
        return true;
    }
    // A date and a time behind the word.
    let dated = ["version", "migration", "m"].iter().find_map(|word| name.strip_prefix(word));
    dated.is_some_and(|rest| begins_with_digits(rest) && after_digits(rest) >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart_by_their_names() {
        let why = |name: &str| match file(name, "rename it") {
            Unread::Migration(why) => why,
            other => panic!("{name}: {other:?}"),
        };
        for (name, says) in [
            ("V2__x.rs", "a migration in Rust"),
            ("002_b.SQL", "not .sql in lower case"),
            ("2_b.up.pgsql", "only files that end in .sql"),
            ("001_init", "only files that end in .sql"),
            ("20240101120000-users.js", "JavaScript"),
            ("1700000000000-Users.ts", "TypeScript"),
            ("0001_initial.py", "Python"),
            ("20240101120000_users.exs", "Elixir"),
            ("20240101120000_users.rb", "Ruby"),
            ("2024_01_01_000000_users.php", "PHP"),
            ("Version20240101120000.php", "PHP"),
            ("m20220101_000001_create.rs", "Rust"),
            ("V3__x.java", "Java"),
            ("001-changes.xml", "XML"),
            ("001.changelog.yaml", "YAML"),
            ("02_users.sh", "shell script"),
            ("03_data.sql.gz", ".gz is not read"),
            ("V1_init.sql", "looks like a migration and is not read: rename it"),
            ("v1__init.sql", "looks like a migration"),
            ("1.sql", "looks like a migration"),
            ("B7__baseline.sql", "looks like a migration"),
            ("up.sql", "diesel"),
            ("sqitch.plan", "let Sqitch migrate"),
            ("script.py.mako", "let Alembic migrate"),
        ] {
            assert!(why(name).contains(says), "{name}: {}", why(name));
        }
        for harmless in
            ["schema.sql", "structure.sql", "seed.sql", "001_a.down.sql", "001.undo.a.sql"]
        {
            assert_eq!(file(harmless, ""), Unread::Harmless, "{harmless}");
        }
        for other in [
            "README.md",
            "LICENSE",
            "atlas.sum",
            "migration_lock.toml",
            "relations.ts",
            "schema.ts",
            "mod.rs",
            "embed.go",
            "V1__a.sql.conf",
            "001_a.sql~",
            "001_a.sql.bak",
            "001_a.sql.disabled",
            "00001_a_test.go",
            "0000_snapshot.json",
            "1700000000000-a.d.ts",
            "001_notes.md",
            "value.py",
            "migrations.go",
            "__init__.py",
            "alembic.ini",
        ] {
            assert_eq!(file(other, ""), Unread::Other, "{other}");
        }
        for sql in ["init.sql", "afterMigrate.sql", "views.sql", "userdata.SQL"] {
            assert_eq!(file(sql, ""), Unread::Sql, "{sql}");
        }
    }

    #[test]
    fn directories_are_told_apart_by_what_they_hold() {
        let of = |name: &str, content: &[&str]| {
            let content: Vec<_> = content.iter().map(|name| (*name).to_owned()).collect();
            match directory(name, &content) {
                Unread::Migration(why) => why,
                other => format!("{other:?}"),
            }
        };
        for (name, content, says) in [
            ("2024-01-01-000000_users", &["up.sql", "down.sql"][..], "diesel"),
            ("2024", &["users.sql"], "users.sql in it looks like a migration"),
            ("more", &["001_a.sql"], "001_a.sql in it"),
            ("more", &["0001_a.py"], "0001_a.py in it"),
            ("more", &["migration.sql"], "migration.sql in it"),
            ("more", &["views.sql"], "Other"),
            ("seeds", &["001_a.sql"], "Harmless"),
            ("2024", &["notes.md"], "Other"),
        ] {
            assert!(of(name, content).contains(says), "{name} {content:?}: {}", of(name, content));
        }
    }
}
