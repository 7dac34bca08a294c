//! What is sent to the server for migrations, and which place in which file each place in it is.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::diagnose::Position;
use super::ledger::{Attempt, literal, quote};
use super::source::{Migration, Reader, Script, Survey};
use super::statements::{self, Statement};

/// A script that is to run, and what records that it did.
pub(super) struct Entry<'a> {
    pub(super) migration: &'a Migration,
    /// Its way up, or its way down.
    pub(super) script: &'a Script,
    pub(super) survey: Survey,
    /// The statement that records it, or takes the record back.
    pub(super) record: String,
    /// What is recorded meanwhile, where it runs without a transaction.
    pub(super) attempt: Option<Attempt>,
}

/// The entries that are one transaction, all or nothing.
pub(super) struct Transaction<'a> {
    entries: &'a [Entry<'a>],
    lock_timeout: Duration,
    /// `premain.migration` in the session is this once something of it was committed.
    mark: String,
}

/// The messages of a transaction: one, unless a migration ends the transaction by itself, or its file
/// is large.
pub(super) struct Messages<'a> {
    entries: std::slice::Iter<'a, Entry<'a>>,
    /// The large file that is read now.
    reading: Option<(&'a Entry<'a>, Reader<'a>)>,
    /// Being made.
    message: Message<'a>,
    /// Made.
    ready: VecDeque<Message<'a>>,
    ended: bool,
}

/// One round trip.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) text: String,
    /// The length of `text` in characters, as the server counts positions.
    length: usize,
    pieces: Vec<Piece<'a>>,
}

/// A stretch of a message that is a stretch of a file; all places are in characters.
struct Piece<'a> {
    entry: &'a Entry<'a>,
    in_message: usize,
    in_file: usize,
    length: usize,
}

/// A large file's statements are sent in messages of about this size: few round trips, and no memory
/// to speak of on either side.
const ENOUGH: usize = 1 << 20;

/// Behind every statement: the line ends are for one that ends in a comment, the semicolon for one
/// that ends without.
const END: &str = "\n;\n";

impl<'a> Transaction<'a> {
    pub(super) fn new(entries: &'a [Entry<'a>], lock_timeout: Duration) -> Transaction<'a> {
        let mark: Vec<_> = entries.iter().map(|entry| entry.migration.to_string()).collect();
        Transaction { entries, lock_timeout, mark: literal(&mark.join(", ")) }
    }

    pub(super) fn messages(&self) -> Messages<'a> {
        let mut message = Message::default();
        let (settings, mark) = (settings(self.lock_timeout), &self.mark);
        message.push(&format!("{settings}; BEGIN; SET premain.migration = {mark};\n"));
        let entries = self.entries.iter();
        Messages { entries, reading: None, message, ready: VecDeque::new(), ended: false }
    }

    /// Ends what is left of the transaction, and asks whether something of it was committed.
    pub(super) fn settle(&self) -> String {
        format!(
            "ROLLBACK; SELECT pg_catalog.current_setting('premain.migration', true) = {}",
            self.mark
        )
    }
}

/// RESET, because what an earlier migration has SET (a search path out of a dump, most likely) would
/// otherwise leak into this one, when both are pending and only then. A role may inherit timeouts
/// made for web requests: they end here.
pub(super) fn settings(lock_timeout: Duration) -> String {
    format!(
        "RESET ROLE; RESET ALL; SET statement_timeout = 0; \
         SET idle_in_transaction_session_timeout = 0; SET lock_timeout = {}",
        lock_timeout.as_millis()
    )
}

impl<'a> Messages<'a> {
    /// The next one.
    ///
    /// # Errors
    /// A large file's.
    pub(super) fn next(&mut self) -> io::Result<Option<Message<'a>>> {
        while self.ready.is_empty() {
            if self.reading.is_some() {
                self.read_on()?;
            } else if let Some(entry) = self.entries.next() {
                match entry.script.sql.here() {
                    None => self.reading = Some((entry, Reader::hashed(entry.script)?)),
                    Some(sql) => {
                        self.add(entry, sql);
                        self.message.push(&format!("{};\n", entry.record));
                    }
                }
            } else if self.ended {
                return Ok(None);
            } else {
                self.ended = true;
                self.message.push("COMMIT");
                self.flush();
            }
        }
        Ok(self.ready.pop_front())
    }

    /// One message's worth of a large file.
    fn read_on(&mut self) -> io::Result<()> {
        let Some((entry, mut reader)) = self.reading.take() else { return Ok(()) };
        while self.message.text.len() < ENOUGH {
            let Some((_, text, in_file)) = reader.next()? else {
                reader.expect_unchanged()?;
                self.message.push(&format!("{};\n", entry.record));
                return Ok(());
            };
            self.message.piece(entry, text, in_file);
        }
        self.flush();
        self.reading = Some((entry, reader));
        Ok(())
    }

    fn add(&mut self, entry: &'a Entry<'a>, sql: &str) {
        let script = entry.script;
        // Behind its own COMMIT a migration may do what no message of several statements allows.
        // Then, and only then, its parts are sent as its own tool sends them.
        let apart = script.parts.len() > 1 && entry.survey.ends;
        let (mut bytes, mut in_file) = (0, 0);
        for part in &script.parts {
            in_file += sql[bytes..part.start].chars().count();
            let text = &sql[part.clone()];
            self.message.piece(entry, text, in_file);
            in_file += text.chars().count();
            bytes = part.end;
            if apart {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        self.ready.push_back(std::mem::take(&mut self.message));
    }
}

impl<'a> Message<'a> {
    /// Adds a stretch of a file.
    pub(super) fn piece(&mut self, entry: &'a Entry<'a>, text: &str, in_file: usize) {
        let in_message = self.length;
        self.push(text);
        self.pieces.push(Piece { entry, in_message, in_file, length: self.length - in_message });
        self.push(END);
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    /// What a place in this message belongs to, and the place in its file.
    pub(super) fn place(&self, position: usize) -> Option<(&'a Entry<'a>, usize)> {
        let piece = self.pieces.iter().rev().find(|piece| piece.in_message <= position)?;
        // A mistake "at the end" is at our own semicolon.
        let within = position - piece.in_message;
        (within < piece.length + END.len()).then_some((piece.entry, piece.in_file + within))
    }

    /// The same of the statement that stands behind that many others; or of the `name` in it, if that
    /// is there once.
    pub(super) fn statement(
        &self,
        number: usize,
        name: Option<&str>,
    ) -> Option<(&'a Entry<'a>, Position)> {
        let Statement { range, .. } = statements::statements(&self.text).nth(number)?;
        let text = &self.text[range.clone()];
        let place = |at: usize| self.place(self.text[..range.start + at].chars().count());
        let is_it = |word: &str| {
            name.is_some_and(|name| word.eq_ignore_ascii_case(name) || word == quote(name))
        };
        let mut named = statements::tokens(text).filter(|(_, at)| is_it(&text[at.clone()]));
        match (named.next(), named.next()) {
            (Some((_, at)), None) => {
                place(at.start).map(|(entry, place)| (entry, Position::Word(place)))
            }
            _ => place(0).map(|(entry, place)| (entry, Position::Statement(place))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::Key;
    use crate::migrate::source::{Order, Script};

    fn migration(sql: &str) -> Migration {
        Migration {
            key: Key::When(1),
            name: "0001_x".to_owned(),
            order: Order::Strict,
            up: Script::split(
                PathBuf::from("0001_x.sql"),
                sql.to_owned(),
                "--> statement-breakpoint",
            )
            .unwrap(),
            down: None,
        }
    }

    fn entry(migration: &Migration) -> Entry<'_> {
        let script = &migration.up;
        let survey = script.survey().unwrap();
        Entry { migration, script, survey, record: "INSERT".to_owned(), attempt: None }
    }

    fn messages<'a>(entry: &'a Entry<'a>) -> Vec<Message<'a>> {
        let transaction = Transaction::new(std::slice::from_ref(entry), Duration::ZERO);
        let mut messages = transaction.messages();
        std::iter::from_fn(|| messages.next().unwrap()).collect()
    }

    #[test]
    fn one_message_unless_the_migration_ends_the_transaction_itself() {
        let sql = "CREATE TABLE a ()--> statement-breakpoint\nCREATE TABLE b () -- c --> statement-breakpoint D";
        let migration = migration(sql);
        let entry = entry(&migration);
        let messages = messages(&entry);
        assert_eq!(messages.len(), 1);
        let text = &messages[0].text;
        assert!(
            text.contains(
                "CREATE TABLE a ()\n;\n\nCREATE TABLE b () -- c \n;\n D\n;\nINSERT;\nCOMMIT"
            ),
            "{text}"
        );
    }

    #[test]
    fn parts_apart_behind_a_commit() {
        let migration =
            migration("COMMIT;--> statement-breakpoint\nCREATE INDEX CONCURRENTLY i ON t (a);");
        let entry = entry(&migration);
        let messages = messages(&entry);
        let texts: Vec<_> = messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts[1..], ["\nCREATE INDEX CONCURRENTLY i ON t (a);\n;\n", "INSERT;\nCOMMIT"]);
    }

    proptest! {
        #[test]
        fn every_place_of_a_file_is_found_again(parts in prop::collection::vec("[a-zä🦀;\n]{1,9}|COMMIT;", 1..5)) {
            let migration = migration(&parts.join("--> statement-breakpoint"));
            let file: Vec<char> = migration.up.sql.here().unwrap().chars().collect();
            let entry = entry(&migration);
            for message in &messages(&entry) {
                for piece in 0..message.pieces.len() {
                    let Piece { in_message: at, length, .. } = message.pieces[piece];
                    if length == 0 {
                        continue;
                    }
                    let (_, in_file) = message.place(at).unwrap();
                    prop_assert_eq!(message.text.chars().nth(at).unwrap(), file[in_file]);
                }
            }
        }
    }
}
