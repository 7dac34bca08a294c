//! `CREATE INDEX CONCURRENTLY`, which leaves an invalid index behind if it fails.

use crate::database::{QueryError, Session};
use crate::migrate::sql::quoting::literal;
use crate::migrate::sql::splitter::{Token, tokens};

/// An index that a statement builds concurrently, under a name of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index<'a> {
    unique: bool,
    /// As it is written, with quotes.
    name: &'a str,
    /// As it is written, with quotes and schema.
    table: &'a str,
    /// The text after the table: method, columns, …
    rest: &'a str,
}

/// The state of an index in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The table has no index of that name.
    Absent,
    /// A build failed: the index serves no query and slows down every write.
    Invalid {
        /// Qualified and quoted.
        name: String,
    },
    /// Another session is building it.
    Building,
    Valid,
}

impl<'a> Index<'a> {
    /// Parses `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name ON [ONLY] table …`.
    pub(super) fn parse(sql: &'a str) -> Option<Index<'a>> {
        let mut tokens = tokens(sql).peekable();
        let mut skip = |word: &str| {
            tokens.next_if(|(_, at)| sql[at.clone()].eq_ignore_ascii_case(word)).is_some()
        };
        let created = skip("CREATE");
        let unique = skip("UNIQUE");
        if !(created && skip("INDEX") && skip("CONCURRENTLY")) {
            return None;
        }
        if skip("IF") {
            skip("NOT");
            skip("EXISTS");
        }
        if skip("ON") {
            // The server chooses the name.
            return None;
        }
        let (_, name) = tokens.next()?;
        let mut skip = |word: &str| {
            tokens.next_if(|(_, at)| sql[at.clone()].eq_ignore_ascii_case(word)).is_some()
        };
        if !skip("ON") {
            return None;
        }
        skip("ONLY");
        let (_, mut table) = tokens.next()?;
        while tokens.next_if(|(token, _)| *token == Token::Sign('.')).is_some() {
            table.end = tokens.next()?.1.end;
        }
        Some(Index { unique, name: &sql[name], rest: &sql[table.end..], table: &sql[table] })
    }

    /// The state of the index in the database.
    pub(super) async fn state(&self, session: &Session) -> Result<State, QueryError> {
        let sql = format!(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), i.indisvalid, \
                    EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = c.oid) \
             {}",
            self.row()
        );
        let rows = session.query(&sql).await?;
        let Some(row) = rows.first().and_then(|rows| rows.first()) else {
            return Ok(State::Absent);
        };
        let column = |column: usize| row.get(column).and_then(Option::as_deref).unwrap_or_default();
        Ok(match (column(1), column(2)) {
            ("t", _) => State::Valid,
            (_, "t") => State::Building,
            _ => State::Invalid { name: column(0).to_owned() },
        })
    }

    /// Whether the existing index is the one that this statement would build: builds it on an empty table with the same
    /// columns, and compares the server's definitions of both.
    pub(super) async fn matches_existing(&self, session: &Session) -> bool {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let definition =
            "pg_catalog.substring(pg_catalog.pg_get_indexdef(i.indexrelid), ' USING .*')";
        let sql = format!(
            "BEGIN; CREATE TEMPORARY TABLE premain_same (LIKE {}); \
             CREATE {unique}INDEX premain_same_index ON pg_temp.premain_same {}\n; \
             SELECT (SELECT pg_catalog.concat(i.indisunique, {definition}) {}) = \
                    (SELECT pg_catalog.concat(i.indisunique, {definition}) FROM pg_catalog.pg_index i \
                     WHERE i.indexrelid = 'pg_temp.premain_same_index'::pg_catalog.regclass)",
            self.table,
            self.rest,
            self.row()
        );
        let results = session.query(&sql).await;
        let rolled_back = session.execute("ROLLBACK").await.is_ok();
        let rows = results.unwrap_or_default();
        let same = rows.last().and_then(|rows| rows.first()?.first()?.as_deref());
        rolled_back && same == Some("t")
    }

    /// FROM and WHERE for its row in the catalog.
    fn row(&self) -> String {
        format!(
            "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE i.indrelid = pg_catalog.to_regclass({}) \
               AND c.relname = (pg_catalog.parse_ident({}))[1]::pg_catalog.name",
            literal(self.table),
            literal(self.name)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_parsed_in_every_spelling() {
        for (sql, unique, name, table, rest) in [
            ("CREATE INDEX CONCURRENTLY i ON t (a)", false, "i", "t", " (a)"),
            (
                "create unique index -- soon\n concurrently if not exists \"I x\" on only s.\"T\" using btree (a)",
                true,
                "\"I x\"",
                "s.\"T\"",
                " using btree (a)",
            ),
        ] {
            assert_eq!(Index::parse(sql), Some(Index { unique, name, table, rest }), "{sql}");
        }
        for sql in [
            "CREATE INDEX i ON t (a)",
            "CREATE INDEX CONCURRENTLY ON t (a)",
            "DROP INDEX CONCURRENTLY i",
            "CREATE INDEX CONCURRENTLY",
            "",
        ] {
            assert_eq!(Index::parse(sql), None, "{sql}");
        }
    }
}
