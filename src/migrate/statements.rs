//! SQL taken apart into statements, by the rules of psql: strings, dollar quotes, nested comments,
//! parentheses and `BEGIN ATOMIC` bodies hide semicolons.

/// The words that every statement of `sql` begins with, in capitals, at most two of each.
pub(super) fn openings(sql: &str) -> Vec<Vec<String>> {
    let mut scanner = Scanner { rest: sql, depth: 0, bodies: 0, words: Vec::new() };
    let mut openings = Vec::new();
    while let Some(token) = scanner.token() {
        if let Token::End = token {
            openings.push(scanner.finish());
        }
    }
    openings.push(scanner.finish());
    openings.retain(|words| !words.is_empty());
    openings
}

/// Whether a statement of `sql` ends the transaction that it runs in.
pub(super) fn end_their_transaction(sql: &str) -> bool {
    openings(sql).iter().any(|words| match words[0].as_str() {
        "COMMIT" | "END" | "ABORT" => true,
        "ROLLBACK" => words.get(1).is_none_or(|word| word != "TO"),
        "PREPARE" => words.get(1).is_some_and(|word| word == "TRANSACTION"),
        _ => false,
    })
}

/// What matters of SQL's tokens here.
enum Token {
    /// The semicolon that ends a statement.
    End,
    Other,
}

struct Scanner<'a> {
    rest: &'a str,
    /// Open parentheses.
    depth: usize,
    /// Open `BEGIN` and `CASE` of a function's body.
    bodies: usize,
    /// The first words of the statement, four at most: `CREATE OR REPLACE FUNCTION`.
    words: Vec<String>,
}

impl Scanner<'_> {
    fn finish(&mut self) -> Vec<String> {
        (self.depth, self.bodies) = (0, 0);
        let mut words = std::mem::take(&mut self.words);
        words.truncate(2);
        words
    }

    fn token(&mut self) -> Option<Token> {
        let first = self.rest.chars().next()?;
        let length = match first {
            '-' if self.rest.starts_with("--") => self.rest.find('\n').unwrap_or(self.rest.len()),
            '/' if self.rest.starts_with("/*") => comment(self.rest),
            '\'' => string(self.rest, '\'', false),
            '"' => string(self.rest, '"', false),
            '$' => dollar_quoted(self.rest),
            c if is_word(c) => return Some(self.word()),
            c => c.len_utf8(),
        };
        match first {
            '(' => self.depth += 1,
            ')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.rest = &self.rest[length..];
        let ends = first == ';' && self.depth == 0 && self.bodies == 0;
        Some(if ends { Token::End } else { Token::Other })
    }

    fn word(&mut self) -> Token {
        let within = |c: char| is_word(c) || c == '$' || c.is_ascii_digit();
        let end = self.rest.find(|c| !within(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let word = word.to_ascii_uppercase();
        if word == "E" && rest.starts_with('\'') {
            self.rest = &rest[string(rest, '\'', true)..];
        }
        if self.defines_a_function() {
            match word.as_str() {
                "BEGIN" => self.bodies += 1,
                "CASE" if self.bodies > 0 => self.bodies += 1,
                "END" => self.bodies = self.bodies.saturating_sub(1),
                _ => {}
            }
        }
        if self.words.len() < 4 {
            self.words.push(word);
        }
        Token::Other
    }

    fn defines_a_function(&self) -> bool {
        let mut words = self.words.iter().map(String::as_str);
        words.next() == Some("CREATE")
            && words.any(|word| word == "FUNCTION" || word == "PROCEDURE")
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// The length of a comment, those within it included.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a quoted text that begins with its quote. A doubled quote reads as two such texts,
/// which is as good.
fn string(text: &str, quote: char, backslashes: bool) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' && backslashes {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`, or of a dollar that is none.
fn dollar_quoted(text: &str) -> usize {
    let tag = match text[1..].find('$') {
        Some(end) => &text[..end + 2],
        None => return 1,
    };
    let name = &tag[1..tag.len() - 1];
    let is_tag = name.chars().all(|c| is_word(c) || c.is_ascii_digit())
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(text.len(), |end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first_words(sql: &str) -> String {
        let words = openings(sql).into_iter().map(|words| words[0].clone());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn semicolons_end_statements_unless_they_are_hidden() {
        for (sql, words) in [
            (
                "SELECT 1; insert into t values (';'); -- a; b\nDELETE FROM t",
                "SELECT INSERT DELETE",
            ),
            ("/* a; /* b; */ c; */ COMMIT;;", "COMMIT"),
            ("SELECT 'it''s; fine', \"odd;\"\"name\"; END", "SELECT END"),
            ("SELECT E'a\\';'; SELECT 'b\\'; COMMIT", "SELECT SELECT COMMIT"),
            ("DO $$ BEGIN COMMIT; END $$; DO $a$ $b$; $a$; SELECT $1; END", "DO DO SELECT END"),
            ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); END", "CREATE END"),
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; COMMIT",
                "CREATE COMMIT",
            ),
            ("  -- nothing", ""),
            ("SELECT größe; COMMIT", "SELECT COMMIT"),
        ] {
            assert_eq!(first_words(sql), words, "{sql}");
        }
    }

    #[test]
    fn what_ends_a_transaction() {
        for sql in
            ["COMMIT;", "select 1; end", "ROLLBACK", "-- x\nAbort;", "PREPARE TRANSACTION 'x'"]
        {
            assert!(end_their_transaction(sql), "{sql}");
        }
        for sql in ["SELECT 'COMMIT;'", "ROLLBACK TO s", "SAVEPOINT s", "PREPARE p AS SELECT 1", ""]
        {
            assert!(!end_their_transaction(sql), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(sql in "([-/*'\"$;()aE\\\\\n é]|BEGIN|END|CREATE FUNCTION|\\$a\\$){0,40}") {
            end_their_transaction(&sql);
        }
    }
}
