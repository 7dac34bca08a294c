//! Splits SQL into statements by the rules of psql: strings, dollar quotes, nested comments, parentheses and `BEGIN ATOMIC`
//! bodies hide semicolons. The first words of a statement show whether it begins or ends a transaction, or cannot run in one.

use std::ops::Range;

use memchr::memchr2;

/// A statement in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// From its first word to before its semicolon, in bytes.
    pub(crate) range: Range<usize>,
    pub(crate) kind: Kind,
}

/// What a statement means for transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It runs in the transaction that is open.
    Ordinary,
    /// It begins a transaction: `BEGIN`, `START TRANSACTION`.
    Begin,
    /// It ends the transaction that it runs in.
    End(End),
    /// It cannot run in a transaction: `VACUUM`, `ALTER SYSTEM`, …
    NoTransaction,
    /// It cannot run in a transaction, and blocks no other session: `CREATE INDEX CONCURRENTLY`, …
    Concurrent,
}

/// How a statement ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `COMMIT`, `END`
    Commit,
    /// `COMMIT AND CHAIN`, which begins the next one.
    CommitAndChain,
    /// `ROLLBACK`, `ABORT`
    Rollback,
    /// `ROLLBACK AND CHAIN`, which begins the next one.
    RollbackAndChain,
    /// `PREPARE TRANSACTION`: another session is going to commit it.
    Prepare,
}

impl End {
    /// Whether the next transaction begins at once.
    pub(crate) fn chains(self) -> bool {
        matches!(self, End::CommitAndChain | End::RollbackAndChain)
    }

    /// Whether nothing of the transaction is kept.
    pub(crate) fn undoes(self) -> bool {
        matches!(self, End::Rollback | End::RollbackAndChain)
    }
}

impl Kind {
    /// Whether the server rejects it within a transaction.
    pub(crate) fn forbids_transaction(self) -> bool {
        matches!(self, Kind::NoTransaction | Kind::Concurrent)
    }
}

/// Every statement of `sql`.
pub(crate) fn statements(sql: &str) -> impl Iterator<Item = Statement> {
    let mut splitter = Splitter::default();
    std::iter::from_fn(move || splitter.next(sql, true))
}

/// Splits a text that may be read in chunks.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// How far the text was read, in bytes.
    at: usize,
    /// Where the current statement begins, in bytes.
    start: Option<usize>,
    /// Open parentheses.
    depth: usize,
    /// Open `BEGIN` and `CASE` in the body of a function.
    bodies: usize,
    /// The first words of the statement, in capitals, as many as decide its kind.
    words: Vec<String>,
    /// The first thing that only psql can run: its offset in bytes, and the error.
    pub(crate) unrunnable: Option<(usize, String)>,
}

/// A token of SQL, as far as the splitter needs to distinguish them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// White space, or a comment.
    Blank,
    /// A key word, or a name.
    Word,
    /// `"a name"`
    Name,
    /// `'a text'`, `$$a text$$`
    Text,
    Sign(char),
}

impl Splitter {
    /// The next statement of `text`, which continues the text of the last call. `None` if there is no further statement or,
    /// unless the text is `complete`, if more of it is needed.
    pub(crate) fn next(&mut self, text: &str, complete: bool) -> Option<Statement> {
        while self.at < text.len() {
            let (token, length) = token(&text[self.at..]);
            let (begin, end) = (self.at, self.at + length);
            if end == text.len() && !complete {
                // It may be the beginning of something longer.
                return None;
            }
            self.at = end;
            match token {
                Token::Blank => continue,
                Token::Sign(';') if self.depth == 0 && self.bodies == 0 => {
                    match self.finish(begin) {
                        None => continue,
                        found => return found,
                    }
                }
                Token::Sign('(') => self.depth += 1,
                Token::Sign(')') => self.depth = self.depth.saturating_sub(1),
                Token::Sign('\\') if self.unrunnable.is_none() => {
                    let rest = &text[begin..];
                    let command = rest.split(char::is_whitespace).next().unwrap_or(rest);
                    let command: String = command.chars().take(20).collect();
                    self.unrunnable =
                        Some((begin, format!("{command} is a command of psql's, not SQL")));
                }
                Token::Word => self.word(&text[begin..end]),
                Token::Name if self.words.len() < self.deciding_words() => {
                    self.words.push("\"".to_owned());
                }
                Token::Name | Token::Text | Token::Sign(_) => {}
            }
            self.start.get_or_insert(begin);
        }
        if complete { self.finish(text.len()) } else { None }
    }

    /// A splitter that begins at this offset of its text.
    pub(crate) fn from(at: usize) -> Splitter {
        Splitter { at, ..Splitter::default() }
    }

    /// The caller drops the first `length` bytes of the text, which were read.
    pub(crate) fn drop_text(&mut self, length: usize) {
        self.at -= length;
        self.start = self.start.map(|start| start.saturating_sub(length));
    }

    /// The offset from which the text is still needed.
    pub(crate) fn needed_from(&self) -> usize {
        self.start.unwrap_or(self.at)
    }

    fn finish(&mut self, end: usize) -> Option<Statement> {
        (self.depth, self.bodies) = (0, 0);
        let words = std::mem::take(&mut self.words);
        let start = self.start.take()?;
        if self.unrunnable.is_none() && needs_psql_for_copy(&words) {
            let why = "COPY from stdin or to stdout needs psql, which has the data in the file; \
                       write INSERT … VALUES, as 'pg_dump --inserts' does";
            self.unrunnable = Some((start, why.to_owned()));
        }
        Some(Statement { range: start..end, kind: kind(&words) })
    }

    fn word(&mut self, word: &str) {
        if self.depth == 0 && self.defines_a_function() {
            let is = |other| word.eq_ignore_ascii_case(other);
            if is("BEGIN") || (is("CASE") && self.bodies > 0) {
                self.bodies += 1;
            } else if is("END") {
                self.bodies = self.bodies.saturating_sub(1);
            }
        }
        if self.words.len() < self.deciding_words() {
            self.words.push(word.to_ascii_uppercase());
        }
    }

    /// How many of the statement's words can decide its kind.
    fn deciding_words(&self) -> usize {
        match self.words.first().map(String::as_str) {
            // Words in parentheses are a query.
            Some("COPY") if self.depth > 0 => 0,
            Some("COPY" | "CREATE" | "ALTER" | "REINDEX" | "CLUSTER") => 64,
            _ => 4,
        }
    }

    /// `CREATE [OR REPLACE] FUNCTION`
    fn defines_a_function(&self) -> bool {
        let mut words = self.words.iter().take(4).map(String::as_str);
        words.next() == Some("CREATE")
            && words.any(|word| word == "FUNCTION" || word == "PROCEDURE")
    }
}

/// `COPY t FROM stdin`, `COPY (SELECT …) TO stdout`.
fn needs_psql_for_copy(words: &[String]) -> bool {
    let terminal = |pair: &[String]| {
        matches!(pair[0].as_str(), "FROM" | "TO") && matches!(pair[1].as_str(), "STDIN" | "STDOUT")
    };
    words.first().is_some_and(|word| word == "COPY") && words.windows(2).any(terminal)
}

/// By PostgreSQL's `PreventInTransactionBlock` and its callers, up to version 18. What a procedure does, and what depends on
/// the kind of a table, cannot be seen in the text.
fn kind(words: &[String]) -> Kind {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let has = |word| words.contains(&word);
    // `connect = false` among the options.
    let off = |option| {
        words.windows(2).any(|pair| pair[0] == option && matches!(pair[1], "FALSE" | "OFF"))
    };
    let chains = has("CHAIN") && !has("NO");
    let forbids_transaction = match words.as_slice() {
        ["BEGIN", ..] | ["START", "TRANSACTION", ..] => return Kind::Begin,
        ["COMMIT" | "ROLLBACK", "PREPARED", ..] => true,
        ["ROLLBACK" | "ABORT", ..] if !has("TO") => {
            return Kind::End(if chains { End::RollbackAndChain } else { End::Rollback });
        }
        ["COMMIT" | "END", ..] => {
            return Kind::End(if chains { End::CommitAndChain } else { End::Commit });
        }
        ["PREPARE", "TRANSACTION", ..] => return Kind::End(End::Prepare),
        ["CREATE" | "DROP", "INDEX", "CONCURRENTLY", ..]
        | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", ..]
        | ["CREATE" | "DROP", "DATABASE" | "TABLESPACE", ..]
        | ["DROP", "SUBSCRIPTION", ..]
        | ["ALTER", "SYSTEM", ..]
        | ["DISCARD", "ALL", ..]
        | ["VACUUM", ..] => true,
        ["ALTER", "DATABASE", _, "SET", "TABLESPACE", ..] => true,
        ["ALTER", "TABLE", ..] => has("DETACH") && has("CONCURRENTLY"),
        ["REINDEX", ..] => {
            has("CONCURRENTLY") && !off("CONCURRENTLY")
                || words.iter().any(|word| matches!(*word, "DATABASE" | "SYSTEM" | "SCHEMA"))
        }
        ["CLUSTER", rest @ ..] => rest.iter().all(|word| *word == "VERBOSE"),
        ["CREATE", "SUBSCRIPTION", ..] => !off("CONNECT") && !off("CREATE_SLOT"),
        ["ALTER", "SUBSCRIPTION", _, "REFRESH", ..] => true,
        ["ALTER", "SUBSCRIPTION", _, "SET" | "ADD" | "DROP", "PUBLICATION", ..] => !off("REFRESH"),
        _ => false,
    };
    match forbids_transaction {
        true if has("CONCURRENTLY") && !off("CONCURRENTLY") => Kind::Concurrent,
        true => Kind::NoTransaction,
        false => Kind::Ordinary,
    }
}

/// Whether the first words of `sql` are these key words.
pub(crate) fn begins_with(sql: &str, words: &[&str]) -> bool {
    let mut tokens = tokens(sql);
    words
        .iter()
        .all(|word| tokens.next().is_some_and(|(_, range)| sql[range].eq_ignore_ascii_case(word)))
}

/// The tokens of `sql` that are not blank, with their ranges.
pub(crate) fn tokens(sql: &str) -> impl Iterator<Item = (Token, Range<usize>)> {
    let mut at = 0;
    let all = std::iter::from_fn(move || {
        let (token, length) = (at < sql.len()).then(|| token(&sql[at..]))?;
        at += length;
        Some((token, at - length..at))
    });
    all.filter(|(token, _)| *token != Token::Blank)
}

/// Whether a token, blank or not, begins at `offset`.
pub(crate) fn begins_token(sql: &str, offset: usize) -> bool {
    let mut at = 0;
    while at < offset {
        at += token(&sql[at..]).1;
    }
    at == offset
}

/// The first token of `text`, and its length in bytes.
fn token(text: &str) -> (Token, usize) {
    let Some(first) = text.chars().next() else { return (Token::Blank, 0) };
    match first {
        c if is_blank(c) => (Token::Blank, text.find(|c| !is_blank(c)).unwrap_or(text.len())),
        '-' if text.starts_with("--") => {
            (Token::Blank, text.find(LINE_ENDS).map_or(text.len(), |end| end + 1))
        }
        '/' if text.starts_with("/*") => (Token::Blank, comment(text)),
        '\'' => (Token::Text, string(text, b'\'', false)),
        '"' => (Token::Name, string(text, b'"', false)),
        '$' => dollar_quoted(text),
        c if is_word(c) => {
            let within = |c: char| is_word(c) || c == '$' || c.is_ascii_digit();
            let end = text.find(|c| !within(c)).unwrap_or(text.len());
            match (&text[..end], &text[end..]) {
                ("E" | "e", rest) if rest.starts_with('\'') => {
                    (Token::Text, end + escaped_string(rest))
                }
                // In a chunk, the quote after an E may not be read yet.
                _ => (Token::Word, end),
            }
        }
        c => (Token::Sign(c), c.len_utf8()),
    }
}

/// As PostgreSQL has it: a carriage return alone is a line end as well.
const LINE_ENDS: [char; 2] = ['\n', '\r'];

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// The length of a comment, including the comments within it.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = memchr2(b'/', b'*', &text.as_bytes()[at..]) {
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

/// The length of a quoted text that begins with its quote. A doubled quote does not end it.
fn string(text: &str, quote: u8, backslashes: bool) -> usize {
    let mut at = 1;
    while let Some(found) = memchr2(quote, b'\\', &text.as_bytes()[at..]) {
        at += found + 1;
        let escapes = text.as_bytes()[at - 1] == b'\\';
        if escapes && backslashes {
            at += text[at..].chars().next().map_or(0, char::len_utf8);
        } else if !escapes && text.as_bytes().get(at) == Some(&quote) {
            at += 1;
        } else if !escapes {
            return at;
        }
    }
    text.len()
}

/// The length of `'…'` after an `E`. It continues on the next line if that begins with a quote.
fn escaped_string(text: &str) -> usize {
    let mut end = string(text, b'\'', true);
    loop {
        let rest = &text[end..];
        let blank = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        match rest[..blank].contains(LINE_ENDS) && rest[blank..].starts_with('\'') {
            true => end += blank + string(&rest[blank..], b'\'', true),
            // In a chunk, the next line may not be read yet.
            false if blank == rest.len() => return text.len(),
            false => return end,
        }
    }
}

/// `$tag$ … $tag$`, or only a dollar sign.
fn dollar_quoted(text: &str) -> (Token, usize) {
    let sign = (Token::Sign('$'), 1);
    let within = |c: char| is_word(c) || c.is_ascii_digit();
    let Some(end) = text[1..].find(|c| !within(c)) else {
        return (Token::Sign('$'), text.len());
    };
    let is_tag =
        text[1 + end..].starts_with('$') && !text[1..].starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return sign;
    }
    let tag = &text[..end + 2];
    (Token::Text, text[tag.len()..].find(tag).map_or(text.len(), |end| end + 2 * tag.len()))
}

#[cfg(test)]
mod tests;
