//! What is sent to the server for migrations, and which place in which file each place in it is.

use std::time::Duration;

use super::ledger::literal;
use super::source::Migration;
use super::statements;

/// A migration, and the statement that records it.
pub(super) struct Entry<'a> {
    pub(super) migration: &'a Migration,
    pub(super) record: String,
}

/// The messages of one transaction: one, unless a migration ends the transaction by itself.
pub(super) struct Transaction<'a> {
    pub(super) messages: Vec<Message<'a>>,
    /// `premain.migration` in the session is this once something of it was committed.
    mark: String,
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
    migration: &'a Migration,
    in_message: usize,
    in_file: usize,
}

impl<'a> Transaction<'a> {
    /// The entries together are all or nothing.
    pub(super) fn new(entries: &[Entry<'a>], lock_timeout: Duration) -> Transaction<'a> {
        let mark: Vec<_> = entries.iter().map(|entry| entry.migration.to_string()).collect();
        let mark = literal(&mark.join(", "));
        let mut transaction = Transaction { messages: vec![Message::default()], mark };
        // RESET, because what an earlier migration has SET (a search_path out of pg_dump, most
        // likely) would otherwise leak into this one, when both are pending and only then. A role
        // may inherit timeouts made for web requests: they end here.
        let before = format!(
            "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET statement_timeout = 0; \
             SET idle_in_transaction_session_timeout = 0; SET lock_timeout = {}; BEGIN; \
             SET premain.migration = {};\n",
            lock_timeout.as_millis(),
            transaction.mark
        );
        transaction.message().push(&before);
        for entry in entries {
            transaction.add(entry.migration);
            transaction.message().push(&format!("{};\n", entry.record));
        }
        transaction.message().push("COMMIT");
        transaction
    }

    fn add(&mut self, migration: &'a Migration) {
        let script = &migration.up;
        // Behind its own COMMIT a migration may do what no transaction allows, nor a message of
        // several statements. Then, and only then, its parts are sent as its own tool sends them.
        let apart = script.parts.len() > 1 && statements::end_their_transaction(&script.sql);
        let (mut bytes, mut in_file) = (0, 0);
        for part in &script.parts {
            in_file += script.sql[bytes..part.start].chars().count();
            let in_message = self.message().length;
            self.message().pieces.push(Piece { migration, in_message, in_file });
            // The line ends are for a part that ends in a comment, the semicolon for one without.
            let text = &script.sql[part.clone()];
            self.message().push(text);
            self.message().push("\n;\n");
            in_file += text.chars().count();
            bytes = part.end;
            if apart {
                self.messages.push(Message::default());
            }
        }
    }

    fn message(&mut self) -> &mut Message<'a> {
        if self.messages.is_empty() {
            self.messages.push(Message::default());
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    /// Ends what is left of the transaction, and asks whether something of it was committed.
    pub(super) fn settle(&self) -> String {
        format!(
            "ROLLBACK; SELECT pg_catalog.current_setting('premain.migration', true) = {}",
            self.mark
        )
    }
}

impl<'a> Message<'a> {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    /// The migration, and the place in its file, of a place in this message.
    pub(super) fn place(&self, position: usize) -> Option<(&'a Migration, usize)> {
        let piece = self.pieces.iter().rev().find(|piece| piece.in_message <= position)?;
        Some((piece.migration, piece.in_file + position - piece.in_message))
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
            ),
            down: None,
        }
    }

    fn transaction(migration: &Migration) -> Transaction<'_> {
        let record = "INSERT".to_owned();
        Transaction::new(&[Entry { migration, record }], Duration::ZERO)
    }

    #[test]
    fn one_message_unless_the_migration_ends_the_transaction_itself() {
        let sql = "CREATE TABLE a ()--> statement-breakpoint\nCREATE TABLE b () -- c --> statement-breakpoint D";
        let migration = migration(sql);
        let transaction = transaction(&migration);
        assert_eq!(transaction.messages.len(), 1);
        let text = &transaction.messages[0].text;
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
        let transaction = transaction(&migration);
        let texts: Vec<_> =
            transaction.messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts[1..], ["\nCREATE INDEX CONCURRENTLY i ON t (a);\n;\n", "INSERT;\nCOMMIT"]);
    }

    proptest! {
        #[test]
        fn every_place_of_a_file_is_found_again(parts in prop::collection::vec("[a-zä🦀;\n]{1,9}|COMMIT;", 1..5)) {
            let migration = migration(&parts.join("--> statement-breakpoint"));
            let file: Vec<char> = migration.up.sql.chars().collect();
            for message in &transaction(&migration).messages {
                for piece in 0..message.pieces.len() {
                    let at = message.pieces[piece].in_message;
                    let (_, in_file) = message.place(at).unwrap();
                    prop_assert_eq!(message.text.chars().nth(at).unwrap(), file[in_file]);
                }
            }
        }
    }
}
