//! The name of a history table: as the user gives it, as SQL needs it, and with the schema that it was found in.

use crate::database::Rows;
use crate::migrate::history::Malformed;
use crate::migrate::marks::MarksTable;
use crate::migrate::sql::checked::{writes_one, writes_some};
use crate::migrate::sql::quoting::{create_schema, literal, quote, quote_if_needed};

/// A history table as the user names it: without quotes, case kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryTableName {
    /// The schema, if one was named.
    pub(crate) schema: Option<String>,
    /// The table.
    pub(crate) table: String,
}

impl HistoryTableName {
    /// Parses `table`, `schema.table` or `"My schema"."my table"`. As in SQL, unquoted parts fold to lower case.
    ///
    /// # Errors
    /// The valid form.
    pub(crate) fn parse(text: &str) -> Result<HistoryTableName, String> {
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

/// SQL: whether the table `c` in the schema `n` is in another one than the session creates tables in, although its name was
/// not qualified. `$user` in the search path is skipped until there is such a schema: one that a migration creates leaves the
/// table of the same role behind in the next schema.
const IS_FOREIGN: &str = "n.nspname <> pg_catalog.current_schema() AND NOT \
    (pg_catalog.current_schema() = current_user AND pg_catalog.pg_get_userbyid(c.relowner) = current_user \
     AND pg_catalog.strpos(pg_catalog.current_setting('search_path'), '$user') > 0)";

/// The name of a history table, as SQL and messages need it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// The schema; `None` means wherever the session creates tables.
    schema: Option<String>,
    /// Its name within the schema.
    pub(super) local: String,
    /// For SQL: quoted, because the name may be a key word.
    pub(super) qualified: String,
    /// For messages.
    pub(super) shown: String,
}

impl Table {
    /// The table that the user named; `schema` and `table` are the tool's own defaults.
    pub(super) fn new(name: Option<&HistoryTableName>, schema: Option<&str>, table: &str) -> Table {
        let schema = name.and_then(|name| name.schema.as_deref()).or(schema);
        let table = name.map_or(table, |name| &name.table);
        let parts = || schema.into_iter().chain([table]);
        Table {
            schema: schema.map(str::to_owned),
            local: table.to_owned(),
            qualified: parts().map(quote).collect::<Vec<_>>().join("."),
            shown: parts().map(quote_if_needed).collect::<Vec<_>>().join("."),
        }
    }

    /// The statements that create the schema and the table with these columns, unless they exist.
    pub(super) fn create(&self, columns: &str) -> Vec<String> {
        let schema = self.schema.iter().map(|schema| create_schema(schema));
        let table = format!("CREATE TABLE IF NOT EXISTS {} {columns}", self.qualified);
        schema.chain([table]).collect()
    }

    /// The table with the marks of the migrations that this table records, in the same schema.
    pub(super) fn marks_table(&self) -> MarksTable {
        let Table { qualified, local, .. } = self;
        let schema = qualified.strip_suffix(&quote(local)).or(qualified.strip_suffix(local));
        MarksTable::beside(qualified, schema.unwrap_or_default(), local)
    }

    /// `statement`, which fails unless it writes one row of this table.
    pub(super) fn one(&self, statement: &str) -> String {
        writes_one(&self.shown, statement)
    }

    /// `statement`, which fails if it finds no row of this table.
    pub(super) fn some(&self, statement: &str) -> String {
        writes_some(&self.shown, statement)
    }

    /// The schema as an SQL expression of type `text`.
    pub(super) fn schema(&self) -> String {
        match &self.schema {
            Some(schema) => literal(schema),
            None => "pg_catalog.current_schema()::text".to_owned(),
        }
    }

    /// The query for the schema that the table is in; [`Table::located`] parses its result. `columns` are further ones of
    /// the table `c` in `pg_class`, each with a comma before it.
    pub(super) fn locate(&self, columns: &str) -> String {
        format!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), CASE WHEN {} THEN \
             pg_catalog.quote_ident(pg_catalog.current_schema()) END{columns} \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = {}::pg_catalog.regclass",
            if self.schema.is_some() { "false" } else { IS_FOREIGN },
            literal(&self.qualified)
        )
    }

    /// The queries whose results [`Table::rows`] parses; `clauses` select and order the rows.
    pub(super) fn read(&self, columns: &str, clauses: &str) -> String {
        format!("{}; SELECT {columns} FROM {} {clauses}", self.locate(""), self.qualified)
    }

    /// This table with the schema that it was found in: a migration may change the search path.
    ///
    /// # Errors
    /// [`Malformed`]: this is not the schema that the session creates tables in.
    pub(super) fn located(&self, rows: &Rows) -> Result<Table, Malformed> {
        match rows.first().map(Vec::as_slice) {
            Some([Some(found), Some(schema), ..]) => Err(self.malformed(format!(
                "{found} was found, but this session creates tables in the schema {schema}, so it may be another \
                 application's history\nif it is the right one, give --history-table '{found}'; \
                 if not, begin one with 'premain baseline none --history-table {schema}.{}'",
                quote_if_needed(&self.local)
            ))),
            Some([Some(found), ..]) => {
                Ok(Table { qualified: found.clone(), shown: found.clone(), ..self.clone() })
            }
            _ => Ok(self.clone()),
        }
    }

    /// The table as it was found, and its rows, in the results of [`Table::read`].
    pub(super) fn rows<'r>(&self, results: &'r [Rows]) -> Result<(Table, &'r Rows), Malformed> {
        let [table, rows] = results else { return Err(self.unexpected()) };
        Ok((self.located(table)?, rows))
    }

    pub(super) fn malformed(&self, why: impl Into<String>) -> Malformed {
        Malformed { table: self.shown.clone(), why: why.into() }
    }

    /// The error for results without the columns that the query has: no server does that.
    pub(super) fn unexpected(&self) -> Malformed {
        self.malformed("the server answered with other columns than were asked for")
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
    fn an_invalid_name_is_rejected_with_the_valid_form() {
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
        fn a_quoted_name_parses_to_itself(schema in "[^\0]+", table in "[^\0]+") {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let text = format!("{}.{}", quote(&schema), quote(&table));
            prop_assert_eq!(HistoryTableName::parse(&text), Ok(HistoryTableName { schema: Some(schema), table }));
        }
    }
}
