//! Where migrations come from, and how they are applied.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::value::Allowed;

/// Where migrations come from and how they are applied.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The source.
    pub source: SourceChoice,
    /// The layout of a folder, where it was named.
    pub format: Option<Format>,
    /// The history table, where it was named.
    pub history_table: Option<HistoryTableName>,
    /// How long to wait for the advisory lock; `None` for ever.
    pub lock_timeout: Option<Duration>,
    /// How long a statement may queue for a table lock; `None` for ever.
    pub ddl_lock_timeout: Option<Duration>,
    /// How often a migration that ran into `ddl_lock_timeout` is tried again.
    pub ddl_retries: u32,
    /// What to do about drift, where that was said.
    pub on_drift: OnDrift,
}

/// What to do about one kind of drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Stop.
    Fail,
    /// Say so and go on.
    Warn,
    /// Go on.
    Ignore,
}

impl Policy {
    /// Every policy by its name.
    pub const ALL: &[(&str, Policy)] =
        &[("fail", Policy::Fail), ("warn", Policy::Warn), ("ignore", Policy::Ignore)];

    /// `warn`
    pub fn name(self) -> &'static str {
        Policy::ALL.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }
}

/// What the user wants done about each kind of drift; `None` for what the native tool makes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnDrift {
    /// A file is not what was applied.
    pub edited: Option<Policy>,
    /// A recorded migration has no file although newer ones do.
    pub missing: Option<Policy>,
    /// The database knows migrations newer than every file.
    pub ahead: Option<Policy>,
    /// A file is older than what is applied, and is not applied.
    pub out_of_order: Option<Policy>,
}

/// Where to look for migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceChoice {
    /// The usual folders, else what is embedded, else nothing.
    Auto,
    /// What the binary carries.
    Embedded,
    /// Nothing is migrated.
    None,
    /// This folder.
    Folder(PathBuf),
}

/// A folder's layout, and with it the history table's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `V1__name.sql`, `refinery_schema_history`.
    Refinery,
    /// Drizzle before 1.0: `0000_name.sql` named by `meta/_journal.json`, `__drizzle_migrations`.
    Drizzle,
    /// Drizzle from 1.0 on: a folder with `migration.sql` and `snapshot.json` for each migration,
    /// `__drizzle_migrations` with names.
    Drizzle1,
    /// A folder with `migration.sql` for each migration, `_prisma_migrations`.
    Prisma,
    /// `001_name.sql`, `premain_migrations`.
    Sql,
    /// `1_name.sql` or `1_name.up.sql`, `_sqlx_migrations`.
    Sqlx,
    /// `1_name.sql` with `-- migrate:up` in it, `schema_migrations` with many rows.
    Dbmate,
    /// `1_name.up.sql`, `schema_migrations` with one row.
    GolangMigrate,
    /// `1_name.sql` with `-- +goose Up` in it, `goose_db_version`.
    Goose,
    /// `V1_2__name.sql` and `R__name.sql`, `flyway_schema_history`.
    Flyway,
}

impl Format {
    /// Every format by the name that `--format` takes.
    pub const ALL: &[(&str, Format)] = &[
        ("refinery", Format::Refinery),
        ("drizzle", Format::Drizzle),
        ("drizzle1", Format::Drizzle1),
        ("prisma", Format::Prisma),
        ("sql", Format::Sql),
        ("sqlx", Format::Sqlx),
        ("dbmate", Format::Dbmate),
        ("golang-migrate", Format::GolangMigrate),
        ("goose", Format::Goose),
        ("flyway", Format::Flyway),
    ];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Format::ALL.iter().find(|(_, format)| format == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// What became of a migration that failed halfway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// All of it is in the database by now.
    Applied(String),
    /// Nothing of it is in the database any more.
    RolledBack(String),
}

/// A history table as the user named it: quotes taken off, case kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryTableName {
    /// The schema, if one was named.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl HistoryTableName {
    /// `table`, `schema.table`, `"My schema"."my table"`: as in SQL, what is not quoted is lower case.
    ///
    /// # Errors
    /// What a table name looks like.
    pub fn parse(text: &str) -> Result<HistoryTableName, Allowed> {
        let allowed = || "[SCHEMA.]TABLE, each part plain or in double quotes".to_owned();
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    parts.last_mut().ok_or_else(allowed)?.push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                '\0' => return Err(allowed()),
                other => parts.last_mut().ok_or_else(allowed)?.push(match quoted {
                    true => other,
                    false => other.to_ascii_lowercase(),
                }),
            }
        }
        if quoted || parts.iter().any(String::is_empty) {
            return Err(allowed());
        }
        match parts.as_slice() {
            [table] => Ok(HistoryTableName { schema: None, table: table.clone() }),
            [schema, table] => {
                Ok(HistoryTableName { schema: Some(schema.clone()), table: table.clone() })
            }
            _ => Err(allowed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_history_table_is_named_as_in_sql() {
        for (text, schema, table) in [
            ("history", None, "history"),
            ("app.History", Some("app"), "history"),
            ("\"my app\".\"a.b\"", Some("my app"), "a.b"),
            ("\"say \"\"hi\"\"\"", None, "say \"hi\""),
        ] {
            let expected =
                HistoryTableName { schema: schema.map(str::to_owned), table: table.to_owned() };
            assert_eq!(HistoryTableName::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_history_table_is_told_its_form() {
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a", "a\0b", "\"\""] {
            assert!(
                HistoryTableName::parse(wrong).unwrap_err().contains("[SCHEMA.]TABLE"),
                "{wrong:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = HistoryTableName::parse(&text);
        }

        #[test]
        fn a_quoted_name_comes_back(schema in "[^\0]+", table in "[^\0]+") {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let text = format!("{}.{}", quote(&schema), quote(&table));
            prop_assert_eq!(HistoryTableName::parse(&text), Ok(HistoryTableName { schema: Some(schema), table }));
        }
    }
}
