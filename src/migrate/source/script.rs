//! One SQL file, and which stretches of it run.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::SourceError;
use super::text::{Pieces, Text};
use crate::migrate::statements::{Kind, Splitter, Statement};

/// A way up, or a way down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where it stands, for messages.
    pub file: PathBuf,
    /// Its text, as it is on the disk: history tables keep checksums of that.
    pub sql: Text,
    /// The stretches of `sql` that run, in bytes and in order. One, unless the format has a marker
    /// between statements; without what another tool's markers set aside, and without a byte order
    /// mark, which the server takes for a syntax error.
    pub parts: Vec<Range<usize>>,
    /// Whether the file may run in a transaction, as far as it says so itself.
    pub transactional: bool,
    /// What its own tool replaces before it runs: where, in characters, and why it cannot run here.
    pub replaced: Option<(usize, String)>,
}

/// The first line of a file that must not run in a transaction.
const NO_TRANSACTION: &str = "-- premain: no-transaction";

/// In bytes: the server's own limit for a message.
const LARGEST_STATEMENT: usize = (1 << 30) - 1;

impl Script {
    /// All of the file.
    pub fn whole(file: PathBuf, sql: impl Into<Text>) -> Script {
        let sql = sql.into();
        let everything = text_begins(&sql)..sql.len();
        Script::of(file, sql, vec![everything])
    }

    /// What stands between `marker`s.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn split(file: PathBuf, sql: impl Into<Text>, marker: &str) -> Result<Script, SourceError> {
        let sql = sql.into();
        let unreadable = |source| SourceError::Unreadable { path: file.clone(), source };
        let mut start = text_begins(&sql);
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
        Script { file, sql, parts, transactional, replaced: None }
    }

    /// Goes over it before anything runs.
    ///
    /// # Errors
    /// The file's.
    pub fn survey(&self) -> io::Result<Survey> {
        let mut survey = Survey { apart: !self.transactional, ..Survey::default() };
        let mut reader = Reader::new(self)?;
        while let Some((kind, _, _)) = reader.next()? {
            survey.statements += 1;
            survey.ends |= kind == Kind::Ends;
            survey.apart |= kind.takes_no_transaction();
            if reader.unrunnable.is_some() {
                break;
            }
        }
        if let Some((offset, why)) = reader.unrunnable {
            survey.unrunnable = Some((self.characters_before(offset)?, why));
        }
        if self.replaced.is_some() {
            survey.unrunnable.clone_from(&self.replaced);
        }
        Ok(survey)
    }

    fn characters_before(&self, offset: usize) -> io::Result<usize> {
        let (mut bytes, mut characters) = (0, 0);
        self.sql.pieces(|piece| {
            let end = piece.len().min(offset.saturating_sub(bytes));
            characters += piece[..end].chars().count();
            bytes += piece.len();
        })?;
        Ok(characters)
    }
}

/// Behind the byte order mark that editors on Windows begin a file with.
fn text_begins(sql: &Text) -> usize {
    if sql.beginning().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// Reads a script statement by statement, and keeps no more of it than one needs.
pub(crate) struct Reader<'a> {
    script: &'a Script,
    pieces: Pieces<'a>,
    /// The text from `offset` on, as far as it was read.
    buffer: String,
    /// How many bytes of the file were before the buffer.
    offset: usize,
    /// How far the buffer's characters are counted, in bytes.
    counted: usize,
    /// How many characters of the file were before that.
    characters: usize,
    /// The part that is read now, and how it comes apart.
    part: usize,
    splitter: Option<Splitter>,
    /// The first thing that only psql can do, and where, in bytes.
    unrunnable: Option<(usize, String)>,
}

impl<'a> Reader<'a> {
    /// For what is to be sent: [`Reader::expect_unchanged`] can tell then.
    pub(crate) fn hashed(script: &'a Script) -> io::Result<Reader<'a>> {
        let reader = Reader::new(script)?;
        Ok(Reader { pieces: reader.pieces.hashed(), ..reader })
    }

    /// From its beginning.
    pub(crate) fn new(script: &'a Script) -> io::Result<Reader<'a>> {
        Ok(Reader {
            script,
            pieces: Pieces::of(&script.sql)?,
            buffer: String::new(),
            offset: 0,
            counted: 0,
            characters: 0,
            part: 0,
            splitter: None,
            unrunnable: None,
        })
    }

    /// The next statement: what it means, its text, and where that begins in the file, in characters.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Kind, &str, usize)>> {
        while let Some(part) = self.script.parts.get(self.part) {
            let read = self.offset + self.buffer.len();
            let splitter = match &mut self.splitter {
                Some(splitter) => splitter,
                None if read < part.start => {
                    self.forget(self.buffer.len());
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
            let unfinished = self.buffer.len() - splitter.needed();
            if unfinished.max(found.as_ref().map_or(0, |found| found.range.len()))
                > LARGEST_STATEMENT
            {
                let start = found.map_or(splitter.needed(), |found| found.range.start);
                let why = "what begins here goes on for more than 1 GB, the most that PostgreSQL \
                           takes in one statement; is there a quote or a comment left open?";
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
            let needless = splitter.needed();
            splitter.forget(needless);
            self.forget(needless);
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

    fn forget(&mut self, length: usize) {
        self.count(length);
        self.buffer.drain(..length);
        self.offset += length;
        self.counted = 0;
    }

    /// Reads on, as much as there is already, so that a long statement is not gone over too often.
    fn fill(&mut self) -> io::Result<bool> {
        let before = self.buffer.len();
        while let Some(piece) = self.pieces.next()? {
            self.buffer.try_reserve(piece.len()).map_err(|_| {
                io::Error::other(
                    "one of its statements does not fit into memory; is a quote or a comment left open?",
                )
            })?;
            self.buffer.push_str(piece);
            if self.buffer.len() >= before * 2 {
                break;
            }
        }
        Ok(self.buffer.len() > before)
    }

    /// Fails unless the file is, to its end, what it was when it was read first.
    pub(crate) fn expect_unchanged(mut self) -> io::Result<()> {
        while self.pieces.next()?.is_some() {}
        let (_, sha256) = self.pieces.end();
        match self.script.sql.is_still(&sha256) {
            true => Ok(()),
            false => Err(io::Error::other("it was written to while it was applied")),
        }
    }
}

/// What a script's statements are, taken together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Survey {
    /// How many there are.
    pub statements: usize,
    /// Whether one ends the transaction that it runs in.
    pub ends: bool,
    /// Whether the file, or one of them, takes no transaction.
    pub apart: bool,
    /// The first thing that only psql can do, or the folder's own tool: where, in characters, and what it
    /// is.
    pub unrunnable: Option<(usize, String)>,
}
