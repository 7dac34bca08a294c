//! The messages that apply migrations, and which position in a file each position in a message belongs to.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::diagnosis::Position;
use super::lock::Lock;
use crate::database::Rows;
use crate::migrate::history::{HistoryTable, Malformed, Marks};
use crate::migrate::marks::Direction;
use crate::migrate::migration::Migration;
use crate::migrate::sql::quoting::{literal, quote};
use crate::migrate::sql::splitter::{self, Kind, Statement};
use crate::migrate::sql::{Reader, Script, Survey};

/// Ends what a script did to the settings of the session. Settings of the role, the database and the URL return.
const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL";

/// Ends what a script left in the session otherwise. Together with [`RESET`] this is DISCARD ALL, which would also release the
/// migration lock.
pub(crate) const DISCARD: &str =
    "CLOSE ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES";

/// A script to run, and the statements that record it.
pub(crate) struct Task<'a> {
    pub(crate) migration: &'a Migration,
    /// Its up migration or its down migration.
    pub(crate) script: &'a Script,
    pub(crate) direction: Direction,
    pub(crate) survey: Survey,
    /// The name of the history table, for messages.
    pub(crate) history_table: String,
    /// The statement that adds or removes its record.
    record: String,
    /// Its marks, if it is not one transaction.
    pub(crate) marks: Option<Marks>,
}

impl<'a> Task<'a> {
    /// Applies `migration`.
    pub(crate) fn up(
        migration: &'a Migration,
        survey: Survey,
        table: &dyn HistoryTable,
    ) -> Result<Task<'a>, Malformed> {
        let record = table.record(migration)?;
        Task::new(migration, &migration.up, Direction::Up, survey, table, record)
    }

    /// Rolls `migration` back by its down migration `script`.
    pub(crate) fn down(
        migration: &'a Migration,
        script: &'a Script,
        survey: Survey,
        table: &dyn HistoryTable,
    ) -> Result<Task<'a>, Malformed> {
        let record = table.unrecord(migration)?;
        Task::new(migration, script, Direction::Down, survey, table, record)
    }

    fn new(
        migration: &'a Migration,
        script: &'a Script,
        direction: Direction,
        survey: Survey,
        table: &dyn HistoryTable,
        record: String,
    ) -> Result<Task<'a>, Malformed> {
        let kept = match survey.no_transaction {
            true => "it runs without a transaction: its first statement may have been kept",
            false => "it ends its transaction itself: what comes before that may have been kept",
        };
        let marks = survey.needs_mark();
        let marks = marks.then(|| Marks::new(table, migration, direction, &record, kept));
        let (marks, history_table) = (marks.transpose()?, table.name().to_owned());
        Ok(Task { migration, script, direction, survey, history_table, record, marks })
    }

    /// The statements after the script: they record it, and remove its mark.
    pub(crate) fn finish(&self) -> String {
        self.marks.as_ref().map_or_else(|| self.record.clone(), Marks::finish)
    }
}

/// Tasks that are applied in one transaction, all or nothing.
pub(crate) struct Transaction<'a> {
    tasks: &'a [Task<'a>],
    /// `None` in a plan, which psql runs without the lock.
    lock: Option<Lock>,
    lock_timeout: Duration,
    /// An SQL literal: the value of the setting `premain.migration` in the session once a part of this was committed, and of
    /// `premain.recorded` once all of it was.
    mark: String,
}

/// What the server kept of a transaction that reported an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    Nothing,
    /// The script ends the transaction itself.
    Part,
    /// All of it, with its record: only cleaning up the session failed.
    All,
}

/// The messages of a transaction: one, unless a migration ends the transaction itself or its file is large.
pub(crate) struct Messages<'a> {
    tasks: std::slice::Iter<'a, Task<'a>>,
    lock: Option<Lock>,
    /// The statements between a script and its record, for the last script and for the others.
    restore_last: String,
    restore: String,
    /// The statements after the last record.
    end: String,
    /// The large file that is being read.
    reading: Option<(&'a Task<'a>, Reader<'a>)>,
    /// The message that is being written.
    message: Message<'a>,
    /// The messages that are complete.
    ready: VecDeque<Message<'a>>,
    ended: bool,
}

/// SQL that is sent in one round trip.
#[derive(Default)]
pub(crate) struct Message<'a> {
    pub(crate) text: String,
    /// The length of `text` in characters, as the server counts positions.
    length: usize,
    spans: Vec<Span<'a>>,
}

/// A range of a message that is a range of a file, in characters.
struct Span<'a> {
    task: &'a Task<'a>,
    in_message: usize,
    in_file: usize,
    length: usize,
}

/// The statements of a large file are sent in messages of about this size in bytes: few round trips, and little memory in
/// premain and in the server.
const MESSAGE_SIZE: usize = 1 << 20;

/// Follows every statement: it may end in a comment, or without a semicolon.
const END: &str = "\n;\n";

impl<'a> Transaction<'a> {
    pub(crate) fn new(
        tasks: &'a [Task<'a>],
        lock: Option<&Lock>,
        lock_timeout: Duration,
    ) -> Transaction<'a> {
        let mark: Vec<_> = tasks.iter().map(|task| task.migration.to_string()).collect();
        let mark = literal(&mark.join(", "));
        Transaction { tasks, lock: lock.cloned(), lock_timeout, mark }
    }

    /// BEGIN comes first: a query before it would take the snapshot that `SET TRANSACTION` in a script comes too late for.
    pub(crate) fn messages(&self) -> Messages<'a> {
        let mut message = Message::default();
        let starts = self.tasks.iter().filter_map(|task| task.marks.as_ref());
        let starts: Vec<_> = starts.map(|marks| marks.start().to_owned() + ";\n").collect();
        let ready =
            (!starts.is_empty()).then(|| Message { text: starts.concat(), ..Message::default() });
        let mark = &self.mark;
        message.push(&format!("BEGIN; SET premain.migration = {mark};\n"));
        Messages {
            tasks: self.tasks.iter(),
            lock: self.lock.clone(),
            restore_last: check_and_restore(self.lock_timeout),
            restore: restore(self.lock_timeout),
            end: format!("SET premain.recorded = {mark}; COMMIT;\n{DISCARD}"),
            reading: None,
            message,
            ready: ready.into_iter().collect(),
            ended: false,
        }
    }

    /// Whether a script ends the transaction itself.
    pub(super) fn is_marked(&self) -> bool {
        self.tasks.iter().any(|task| task.marks.is_some())
    }

    /// The statements that end what is left of the transaction and clean up the session. The result of the second one says
    /// what was committed.
    pub(super) fn settle(&self) -> String {
        let has = |name| format!("pg_catalog.current_setting('{name}', true) = {}", self.mark);
        let (all, part) = (has("premain.recorded"), has("premain.migration"));
        format!("ROLLBACK; SELECT {all}, {part}; {DISCARD}")
    }
}

impl Committed {
    /// The answer in the results of [`Transaction::settle`].
    pub(super) fn parse(results: &[Rows]) -> Committed {
        let row = results.get(1).and_then(|rows| rows.first());
        let is_true = |column: usize| row.and_then(|row| row.get(column)?.as_deref()) == Some("t");
        match (is_true(0), is_true(1)) {
            (true, _) => Committed::All,
            (_, true) => Committed::Part,
            _ => Committed::Nothing,
        }
    }
}

/// The statement that makes premain's settings in a session; a setting that the server does not have is left out.
///
/// - No timeouts that a role may have for web requests.
/// - The server notices that premain has ended: at once if the connection was closed, within half a minute if the network is
///   cut. It then rolls back and releases the lock, instead of continuing until the statement ends.
/// - UTF-8, although a pooler may not pass on what premain asked for at the login.
pub(crate) fn settings(lock_timeout: Duration) -> String {
    format!(
        "SELECT pg_catalog.set_config(name, value, false) FROM (VALUES ('lock_timeout', '{}'), \
         ('statement_timeout', '0'), ('transaction_timeout', '0'), \
         ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'), \
         ('client_encoding', 'UTF8'), ('tcp_keepalives_idle', '10'), \
         ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), \
         ('tcp_user_timeout', '30s'), ('client_connection_check_interval', '1s')) AS setting (name, value) \
         WHERE pg_catalog.current_setting(name, true) IS NOT NULL \
         AND (name NOT LIKE 'client_conn%' OR pg_catalog.version() LIKE '%linux%')",
        lock_timeout.as_millis()
    )
}

/// The statements after a script: the role, the search path and the settings are again as the session had them before it,
/// for its record and for the next script.
pub(crate) fn restore(lock_timeout: Duration) -> String {
    format!("{RESET}; {}", settings(lock_timeout))
}

/// As [`restore`], and before that checks the deferred constraints: COMMIT would do it with other settings than the script's.
pub(crate) fn check_and_restore(lock_timeout: Duration) -> String {
    format!("SET CONSTRAINTS ALL IMMEDIATE; {}", restore(lock_timeout))
}

impl<'a> Messages<'a> {
    /// The next message.
    ///
    /// # Errors
    /// The large file can no longer be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Message<'a>>> {
        while self.ready.is_empty() {
            if self.reading.is_some() {
                self.read_on()?;
            } else if let Some(task) = self.tasks.next() {
                match task.script.sql.in_memory() {
                    None => self.reading = Some((task, Reader::hashed(task.script)?)),
                    Some(sql) => {
                        self.add_all(task, sql);
                        self.record(task);
                    }
                }
            } else if self.ended {
                return Ok(None);
            } else {
                self.ended = true;
                self.message.push(&self.end);
                self.flush();
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Reads as much of a large file as fits into one message.
    fn read_on(&mut self) -> io::Result<()> {
        let Some((task, mut reader)) = self.reading.take() else { return Ok(()) };
        while self.message.text.len() < MESSAGE_SIZE {
            let Some((_, text, in_file)) = reader.next()? else {
                reader.expect_unchanged()?;
                self.record(task);
                return Ok(());
            };
            self.message.add_statements(task, self.lock.as_ref(), text, in_file);
        }
        self.flush();
        self.reading = Some((task, reader));
        Ok(())
    }

    fn add_all(&mut self, task: &'a Task<'a>, sql: &str) {
        let script = task.script;
        // After its own COMMIT a migration may do what a message of several statements does not allow. Then, and only then,
        // its parts are sent one by one, as its own tool sends them.
        let one_by_one = script.parts.len() > 1 && task.survey.ends_transaction;
        let (mut bytes, mut in_file) = (0, 0);
        for part in &script.parts {
            in_file += sql[bytes..part.start].chars().count();
            let text = &sql[part.clone()];
            self.message.add_statements(task, self.lock.as_ref(), text, in_file);
            in_file += text.chars().count();
            bytes = part.end;
            if one_by_one {
                self.flush();
            }
        }
    }

    fn record(&mut self, task: &Task<'_>) {
        let (restore, after) = match self.tasks.len() {
            0 => (&self.restore_last, String::new()),
            _ => (&self.restore, format!("{DISCARD};\n")),
        };
        // What the script has committed itself cannot be rolled back if the lock was lost.
        let guard = self.lock.as_ref().map(|_| Lock::guard(task.survey.ends_transaction) + ";\n");
        let guard = guard.unwrap_or_default();
        self.message.push(&format!("{restore};\n{guard}{};\n{after}", task.finish()));
    }

    fn flush(&mut self) {
        self.ready.push_back(std::mem::take(&mut self.message));
    }
}

impl<'a> Message<'a> {
    /// Adds a range of a file that holds whole statements. If the script releases locks, `lock` is kept nevertheless.
    pub(super) fn add_statements(
        &mut self,
        task: &'a Task<'a>,
        lock: Option<&Lock>,
        text: &str,
        in_file: usize,
    ) {
        let Some(lock) = lock.filter(|_| task.survey.releases_locks) else {
            return self.add(task, text, in_file);
        };
        let [before, after] = lock.around();
        for Statement { range, kind } in splitter::statements(text) {
            let statement = &text[range.clone()];
            // After a query it would be too late for SET TRANSACTION.
            let keep = kind == Kind::Ordinary && !splitter::begins_with(statement, &["SET"]);
            if keep {
                self.push(&format!("{before};\n"));
            }
            self.add(task, statement, in_file + text[..range.start].chars().count());
            if keep {
                self.push(&format!("{after};\n"));
            }
        }
    }

    /// Adds a range of a file.
    pub(super) fn add(&mut self, task: &'a Task<'a>, text: &str, in_file: usize) {
        let in_message = self.length;
        self.push(text);
        self.spans.push(Span { task, in_message, in_file, length: self.length - in_message });
        self.push(END);
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    /// The task, and the position in its file, that a position in this message belongs to.
    pub(super) fn position(&self, position: usize) -> Option<(&'a Task<'a>, usize)> {
        let span = self.spans.iter().rev().find(|span| span.in_message <= position)?;
        // An error "at the end" is at the semicolon that was added.
        let within = position - span.in_message;
        (within < span.length + END.len()).then_some((span.task, span.in_file + within))
    }

    /// The indexes of the statements that end a transaction.
    pub(super) fn ends(&self) -> Vec<usize> {
        let kinds = splitter::statements(&self.text).map(|statement| statement.kind).enumerate();
        kinds.filter(|(_, kind)| matches!(kind, Kind::End(_))).map(|(at, _)| at).collect()
    }

    /// The task, and the position in its file, of the statement with this index; of `name` in it, if that occurs once.
    pub(super) fn statement(
        &self,
        number: usize,
        name: Option<&str>,
    ) -> Option<(&'a Task<'a>, Position)> {
        let Statement { range, .. } = splitter::statements(&self.text).nth(number)?;
        let text = &self.text[range.clone()];
        let position = |at: usize| self.position(self.text[..range.start + at].chars().count());
        let is_name = |word: &str| {
            name.is_some_and(|name| word.eq_ignore_ascii_case(name) || word == quote(name))
        };
        let mut named = splitter::tokens(text).filter(|(_, at)| is_name(&text[at.clone()]));
        match (named.next(), named.next()) {
            (Some((_, at)), None) => {
                position(at.start).map(|(task, at)| (task, Position::Word(at)))
            }
            _ => position(0).map(|(task, at)| (task, Position::Statement(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::migrate::migration::Order;
    use crate::migrate::version::Version;

    fn migration(sql: &str) -> Migration {
        Migration {
            version: Version::When(1),
            name: "0001_x".to_owned(),
            title: "0001_x".to_owned(),
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

    fn task(migration: &Migration) -> Task<'_> {
        let script = &migration.up;
        let survey = script.survey().unwrap();
        let (direction, record) = (Direction::Up, "INSERT".to_owned());
        let history_table = "history".to_owned();
        Task { migration, script, direction, survey, history_table, record, marks: None }
    }

    fn messages<'a>(task: &'a Task<'a>) -> Vec<Message<'a>> {
        let transaction = Transaction::new(std::slice::from_ref(task), None, Duration::ZERO);
        let mut messages = transaction.messages();
        std::iter::from_fn(|| messages.next().unwrap()).collect()
    }

    #[test]
    fn a_transaction_is_one_message_unless_the_migration_ends_it() {
        let sql = "CREATE TABLE a ()--> statement-breakpoint\nCREATE TABLE b () -- c --> statement-breakpoint D";
        let migration = migration(sql);
        let task = task(&migration);
        let messages = messages(&task);
        assert_eq!(messages.len(), 1);
        let text = &messages[0].text;
        let begin = "BEGIN; SET premain.migration = '0001_x';\n";
        let script = "CREATE TABLE a ()\n;\n\nCREATE TABLE b () -- c \n;\n D\n;\nSET CONSTRAINTS ALL IMMEDIATE; RESET ";
        let end = format!(";\nINSERT;\nSET premain.recorded = '0001_x'; COMMIT;\n{DISCARD}");
        assert!(text.starts_with(&format!("{begin}{script}")) && text.ends_with(&end), "{text}");
    }

    #[test]
    fn parts_are_sent_one_by_one_after_a_commit() {
        let migration =
            migration("COMMIT;--> statement-breakpoint\nCREATE INDEX CONCURRENTLY i ON t (a);");
        let task = task(&migration);
        let messages = messages(&task);
        let texts: Vec<_> = messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts[1], "\nCREATE INDEX CONCURRENTLY i ON t (a);\n;\n");
        assert!(texts[2].contains(";\nINSERT;\n"), "{}", texts[2]);
    }

    proptest! {
        #[test]
        fn every_position_in_a_message_is_found_in_its_file(parts in prop::collection::vec("[a-zä🦀;\n]{1,9}|COMMIT;", 1..5)) {
            let migration = migration(&parts.join("--> statement-breakpoint"));
            let file: Vec<char> = migration.up.sql.in_memory().unwrap().chars().collect();
            let task = task(&migration);
            for message in &messages(&task) {
                for span in 0..message.spans.len() {
                    let Span { in_message: at, length, .. } = message.spans[span];
                    if length == 0 {
                        continue;
                    }
                    let (_, in_file) = message.position(at).unwrap();
                    prop_assert_eq!(message.text.chars().nth(at).unwrap(), file[in_file]);
                }
            }
        }
    }
}
