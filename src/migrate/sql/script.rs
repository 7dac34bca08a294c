//! A script: one SQL file, the parts of it that run, and reading it statement by statement.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use memchr::memmem;

use super::repeatable::{Repeat, repeat};
use super::splitter::{self, End, Kind, Splitter, Statement, begins_token};
use super::text::{Chunks, Text};
use crate::migrate::source::error::SourceError;

/// An up migration or a down migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    /// Its file, for messages.
    pub(crate) file: PathBuf,
    /// The whole text of the file: history tables keep checksums of it.
    pub(crate) sql: Text,
    /// The bytes of `sql` that run, in order: one range, unless the tool has a marker between statements. Without the other
    /// direction if the file has both, and without a byte order mark, which is a syntax error to the server.
    pub(crate) parts: Vec<Range<usize>>,
    /// False if the file itself says that it must not run in a transaction.
    pub(crate) transactional: bool,
    /// A placeholder that only its own tool can replace: its position in characters, and the error.
    pub(crate) placeholder: Option<(usize, String)>,
}

/// The first line of a file that must not run in a transaction.
const NO_TRANSACTION: &str = "-- premain: no-transaction";

/// The server's own limit for a message, in bytes.
const LARGEST_STATEMENT: usize = (1 << 30) - 1;

impl Script {
    /// A script that consists of the whole file.
    pub(crate) fn whole(file: PathBuf, sql: impl Into<Text>) -> Script {
        let sql = sql.into();
        let everything = byte_order_mark_length(&sql)..sql.len();
        Script::of(file, sql, vec![everything])
    }

    /// A script whose parts are separated by `marker`.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn split(
        file: PathBuf,
        sql: impl Into<Text>,
        marker: &str,
    ) -> Result<Script, SourceError> {
        let sql = sql.into();
        let unreadable = SourceError::unreadable(&file);
        let mut start = byte_order_mark_length(&sql);
        let mut parts = Vec::new();
        for at in sql.find_all(marker).map_err(unreadable)? {
            parts.push(start..at);
            start = at + marker.len();
        }
        parts.push(start..sql.len());
        Ok(Script::of(file, sql, parts))
    }

    fn of(file: PathBuf, sql: Text, parts: Vec<Range<usize>>) -> Script {
        let first = sql.beginning().trim_start_matches('\u{feff}').lines().next();
        let transactional = first.is_none_or(|line| line.trim_end() != NO_TRANSACTION);
        Script { file, sql, parts, transactional, placeholder: None }
    }

    /// Reads all of it to find out what its statements need, before anything runs.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn survey(&self) -> io::Result<Survey> {
        let mut survey = Survey { no_transaction: !self.transactional, ..Survey::default() };
        let mut reader = Reader::new(self)?;
        // As the script is found to run in a transaction, or not.
        let (mut within, mut without) = (Undone::new(true), Undone::new(false));
        let mut prepares = None;
        while let Some((kind, text, position)) = reader.next()? {
            survey.statements += 1;
            survey.releases_locks |= releases_locks(text);
            if survey.backslash.is_none()
                && let Some(at) = backslash_before_quote(text)
            {
                survey.backslash = Some(position + text[..at].chars().count());
            }
            survey.ends_transaction |= matches!(kind, Kind::End(_));
            survey.no_transaction |= kind.forbids_transaction();
            // Of interest if it is the only one.
            survey.is_repeatable = survey.statements == 1 && repeat(text) == Repeat::Always;
            within.add(kind, position);
            without.add(kind, position);
            if kind == Kind::End(End::Prepare) {
                prepares.get_or_insert(position);
            }
            if reader.unrunnable.is_some() {
                break;
            }
        }
        let undone = if survey.no_transaction { without } else { within };
        survey.rolls_back = undone.first;
        if let Some((offset, why)) = reader.unrunnable {
            survey.unrunnable = Some((self.characters_before(offset)?, why));
        } else if let Some(position) = prepares {
            let why = "PREPARE TRANSACTION leaves what comes before it to another session, so it cannot be recorded with the \
                       migration; write COMMIT, or nothing";
            survey.unrunnable = Some((position, why.to_owned()));
        } else if let Some(position) = undone.last {
            let why = "ROLLBACK is the last statement, so what comes before it would not be kept, but the migration recorded as \
                       applied; remove it";
            survey.unrunnable = Some((position, why.to_owned()));
        }
        if self.placeholder.is_some() {
            survey.unrunnable.clone_from(&self.placeholder);
        }
        Ok(survey)
    }

    /// Whether the byte at `offset` of the file is a part of what runs.
    pub(crate) fn contains(&self, offset: usize) -> bool {
        self.parts.iter().any(|part| part.contains(&offset))
    }

    /// Whether the text at `offset` is within a quoted text, a name or a comment, rather than at the beginning of one.
    pub(crate) fn is_quoted(&self, offset: usize) -> bool {
        let part = self.parts.iter().find(|part| part.contains(&offset));
        let (Some(sql), Some(part)) = (self.sql.in_memory(), part) else { return false };
        !begins_token(&sql[part.clone()], offset - part.start)
    }

    fn characters_before(&self, offset: usize) -> io::Result<usize> {
        let (mut bytes, mut characters) = (0, 0);
        self.sql.chunks(|chunk| {
            let end = chunk.len().min(offset.saturating_sub(bytes));
            characters += chunk[..end].chars().count();
            bytes += chunk.len();
        })?;
        Ok(characters)
    }
}

/// The offset of the first `'…'` that has a quote after an odd number of backslashes: an escaped quote, if backslashes escape.
fn backslash_before_quote(sql: &str) -> Option<usize> {
    memmem::find(sql.as_bytes(), b"\\'")?;
    let is_ambiguous = |text: &str| {
        let before = |at: usize| text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        text.starts_with('\'') && text.match_indices('\'').any(|(at, _)| before(at) % 2 == 1)
    };
    splitter::tokens(sql)
        .map(|(_, range)| range)
        .find(|at| is_ambiguous(&sql[at.clone()]))
        .map(|at| at.start)
}

/// Whether the text names `pg_advisory_unlock` or `pg_advisory_unlock_all`.
fn releases_locks(sql: &str) -> bool {
    let names = ["advisory_unlock", "ADVISORY_UNLOCK"];
    names.iter().any(|name| memmem::find(sql.as_bytes(), name.as_bytes()).is_some())
}

/// The length of the byte order mark that editors on Windows write at the beginning of a file, in bytes.
fn byte_order_mark_length(sql: &Text) -> usize {
    if sql.beginning().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// Reads a script statement by statement, and keeps only the current statement in memory.
pub(crate) struct Reader<'a> {
    script: &'a Script,
    chunks: Chunks<'a>,
    /// The text from `offset` on, as far as it was read.
    buffer: String,
    /// How many bytes of the file were before the buffer.
    offset: usize,
    /// How far the buffer's characters are counted, in bytes.
    counted: usize,
    /// How many characters of the file were before that.
    characters: usize,
    /// The index of the part that is being read, and its splitter.
    part: usize,
    splitter: Option<Splitter>,
    /// The first thing that cannot run: its offset in the file in bytes, and the error.
    unrunnable: Option<(usize, String)>,
}

impl<'a> Reader<'a> {
    /// Reads from the beginning, for [`Reader::expect_unchanged`] at the end.
    pub(crate) fn hashed(script: &'a Script) -> io::Result<Reader<'a>> {
        let reader = Reader::new(script)?;
        Ok(Reader { chunks: reader.chunks.hashed(), ..reader })
    }

    /// Reads from the beginning.
    pub(crate) fn new(script: &'a Script) -> io::Result<Reader<'a>> {
        Ok(Reader {
            script,
            chunks: Chunks::of(&script.sql)?,
            buffer: String::new(),
            offset: 0,
            counted: 0,
            characters: 0,
            part: 0,
            splitter: None,
            unrunnable: None,
        })
    }

    /// The next statement: its kind, its text, and its position in the file in characters.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Kind, &str, usize)>> {
        while let Some(part) = self.script.parts.get(self.part) {
            let read = self.offset + self.buffer.len();
            let splitter = match &mut self.splitter {
                Some(splitter) => splitter,
                None if read < part.start => {
                    self.drop_text(self.buffer.len());
                    if !self.fill()? {
                        break;
                    }
                    continue;
                }
                none => none.insert(Splitter::from(part.start - self.offset)),
            };
            let complete = read >= part.end;
            let end = self.buffer.len().min(part.end - self.offset);
            let found = splitter.next(&self.buffer[..end], complete);
            if let Some((at, why)) = splitter.unrunnable.take() {
                self.unrunnable.get_or_insert((self.offset + at, why));
            }
            let unfinished = self.buffer.len() - splitter.needed_from();
            if unfinished.max(found.as_ref().map_or(0, |found| found.range.len()))
                > LARGEST_STATEMENT
            {
                let start = found.map_or(splitter.needed_from(), |found| found.range.start);
                let why = "this statement is longer than 1 GB, the most that PostgreSQL accepts; \
                           is a quote or a comment in it left open?";
                self.unrunnable.get_or_insert((self.offset + start, why.to_owned()));
                break;
            }
            if let Some(Statement { range, kind }) = found {
                self.count(range.start);
                return Ok(Some((kind, &self.buffer[range], self.characters)));
            }
            if complete {
                self.splitter = None;
                self.part += 1;
                continue;
            }
            let needless = splitter.needed_from();
            splitter.drop_text(needless);
            self.drop_text(needless);
            if !self.fill()? {
                break;
            }
        }
        Ok(None)
    }

    fn count(&mut self, end: usize) {
        self.characters += self.buffer[self.counted..end].chars().count();
        self.counted = end;
    }

    fn drop_text(&mut self, length: usize) {
        self.count(length);
        self.buffer.drain(..length);
        self.offset += length;
        self.counted = 0;
    }

    /// Doubles the buffer, so that a long statement is not split again after every chunk. Returns whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        let before = self.buffer.len();
        while let Some(chunk) = self.chunks.next()? {
            self.buffer.try_reserve(chunk.len()).map_err(|_| {
                io::Error::other(
                    "one of its statements does not fit into memory; is a quote or a comment left open?",
                )
            })?;
            self.buffer.push_str(chunk);
            if self.buffer.len() >= before * 2 {
                break;
            }
        }
        Ok(self.buffer.len() > before)
    }

    /// Fails unless the file is still the one that was read first.
    pub(crate) fn expect_unchanged(mut self) -> io::Result<()> {
        while self.chunks.next()?.is_some() {}
        let (_, sha256) = self.chunks.end();
        match self.script.sql.is_still(&sha256) {
            true => Ok(()),
            false => Err(io::Error::other("it was written to while it was applied")),
        }
    }
}

/// Finds what a script undoes itself.
struct Undone {
    /// Whether it runs in premain's transaction.
    within: bool,
    /// Whether a transaction is open.
    open: bool,
    /// Whether that has changed something.
    changes: bool,
    /// The position of the first ROLLBACK that undoes something.
    first: Option<usize>,
    /// The position of the last one, if no statement follows.
    last: Option<usize>,
}

impl Undone {
    fn new(within: bool) -> Undone {
        Undone { within, open: within, changes: false, first: None, last: None }
    }

    fn add(&mut self, kind: Kind, position: usize) {
        match kind {
            Kind::Begin => self.open = true,
            Kind::End(end) => {
                if end.undoes() && self.changes {
                    self.first.get_or_insert(position);
                    self.last = Some(position);
                }
                self.changes = false;
                self.open = self.within || end.chains();
            }
            Kind::Ordinary | Kind::NoTransaction | Kind::Concurrent => {
                self.changes = self.open;
                self.last = None;
            }
        }
    }
}

impl Survey {
    /// Whether it must be marked as started before it runs: it is not one transaction, and may not be run again.
    pub(crate) fn needs_mark(&self) -> bool {
        match self.no_transaction {
            true => self.statements > 0 && !self.is_repeatable,
            false => self.ends_transaction,
        }
    }
}

/// What the statements of a script need.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub(crate) struct Survey {
    /// How many statements there are.
    pub(crate) statements: usize,
    /// Whether a statement ends the transaction that it runs in.
    pub(crate) ends_transaction: bool,
    /// The first ROLLBACK that undoes something: its position in characters.
    pub(crate) rolls_back: Option<usize>,
    /// Whether there is one statement, which may run again whatever became of it.
    pub(crate) is_repeatable: bool,
    /// Whether the file, or one of its statements, cannot run in a transaction.
    pub(crate) no_transaction: bool,
    /// Whether it may release the advisory locks of its session.
    pub(crate) releases_locks: bool,
    /// The first text that ends elsewhere if `standard_conforming_strings` is off: its position in characters.
    pub(crate) backslash: Option<usize>,
    /// The first thing that only psql, or the migration's own tool, can run: its position in characters,
    /// and the error.
    pub(crate) unrunnable: Option<(usize, String)>,
}
