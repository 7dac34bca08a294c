//! Log lines on stderr, by `tracing`: text for people, JSON for machines, one event one line; and below
//! them, where somebody sits before a terminal, a bar for what takes its time.
//!
//! A line never blocks, never kills and never changes the descriptor, which the application
//! shares: where there is no room for it within the patience, it is dropped.

#![forbid(unsafe_code)]

use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{conceal, sys};

/// How premain logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least important level that is printed.
    pub level: Level,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { level: Level::INFO, json: false }
    }
}

/// Starts to log. Only the first call has an effect.
pub fn start(config: Settings) {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let people = !config.json && std::io::stderr().is_terminal();
    let colour = wanted && people;
    PEOPLE.store(people && config.level >= Level::INFO, Ordering::Relaxed);
    JSON.store(config.json, Ordering::Relaxed);
    // An error says that somebody has started before.
    let _ = tracing::subscriber::set_global_default(Logger { config, colour });
}

/// Writes a line that `speaker`, a hook, has printed, at every level: it is not ours to judge. In
/// text it stays as it is, byte by byte. Whether there was room for it; `hurried`, it does not wait.
pub fn pass_on(speaker: &str, line: &[u8], hurried: bool) -> bool {
    let patience = if hurried { 0 } else { PATIENCE.load(Ordering::Relaxed) };
    if JSON.load(Ordering::Relaxed) {
        let message = String::from_utf8_lossy(line).into_owned();
        let rest = format!(",\"hook\":{}", json_string(speaker));
        let fields = Fields { json: true, message, rest };
        write(json_line(Level::INFO, &fields, OffsetDateTime::now_utc()).as_bytes(), patience)
    } else {
        write(&[speaker.as_bytes(), b": ", line, b"\n"].concat(), patience)
    }
}

/// The format, for lines that are not events.
static JSON: AtomicBool = AtomicBool::new(false);

/// From here on a line that cannot be written at once is dropped: an init has other things to do.
pub fn never_wait() {
    PATIENCE.store(0, Ordering::Relaxed);
}

/// How many milliseconds a line may wait for room: a boot has the time for a slow reader.
static PATIENCE: AtomicU16 = AtomicU16::new(200);

/// Without spans, registries and layers, because PID 1 keeps all of its memory for ever.
struct Logger {
    config: Settings,
    colour: bool,
}

impl Subscriber for Logger {
    /// Events of premain's own, down to the level; dependencies have nothing to say to a user.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= self.config.level
            && metadata.target().starts_with(env!("CARGO_PKG_NAME"))
    }

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut fields = Fields { json: self.config.json, ..Fields::default() };
        event.record(&mut fields);
        let line = match self.config.json {
            true => json_line(level, &fields, OffsetDateTime::now_utc()),
            false => text_lines(level, &fields, self.colour),
        };
        write_above_the_bar(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What an event carries.
#[derive(Default)]
struct Fields {
    json: bool,
    message: String,
    /// Behind the message: ` key=value`, or `,"key":value`.
    rest: String,
}

impl Fields {
    /// A value that needs no quotes in either format: a number, `true`.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        let result = match self.json {
            true => write!(self.rest, ",{}:{value}", json_string(field.name())),
            false => write!(self.rest, " {}={value}", field.name()),
        };
        debug_assert!(result.is_ok(), "writing to a string cannot fail");
    }

    fn text(&mut self, field: &Field, value: String) {
        // What a server says, or a migration's own text, may hold a secret that we know nothing of.
        let value = conceal::masked(value);
        if field.name() == "message" {
            self.message = value;
        } else if self.json {
            self.plain(field, json_string(&value));
        } else if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"') {
            self.plain(field, format_args!("{value:?}"));
        } else {
            self.plain(field, value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, value.to_string());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json_line(level: Level, fields: &Fields, time: OffsetDateTime) -> String {
    let time = time.format(&Rfc3339).unwrap_or_default();
    let level = level.as_str().to_ascii_lowercase();
    let message = json_string(&fields.message);
    format!("{{\"time\":\"{time}\",\"level\":\"{level}\",\"message\":{message}{}}}\n", fields.rest)
}

/// No time: `docker logs -t` has it. Every line begins with who speaks, those of a report too.
fn text_lines(level: Level, fields: &Fields, colour: bool) -> String {
    let (word, escape) = match level {
        Level::ERROR => ("error: ", "1;31"),
        Level::WARN => ("warning: ", "1;33"),
        Level::INFO => ("", ""),
        _ => ("debug: ", "2"),
    };
    let mut lines = String::new();
    for (index, line) in fields.message.split('\n').enumerate() {
        lines.push_str("premain: ");
        if index == 0 && colour && !word.is_empty() {
            lines.extend(["\x1b[", escape, "m", word, "\x1b[0m"]);
        } else if index == 0 {
            lines.push_str(word);
        }
        lines.extend(line.chars().flat_map(harmless));
        if index == 0 {
            lines.push_str(&fields.rest);
        }
        lines.push('\n');
    }
    lines
}

/// A character that may reach a terminal: a server's notice must not be able to steer it.
fn harmless(character: char) -> impl Iterator<Item = char> {
    let steers = character.is_control() && character != '\t';
    let escaped = steers.then(|| character.escape_default());
    escaped.into_iter().flatten().chain((!steers).then_some(character))
}

/// Whether somebody sits before a terminal and reads along.
static PEOPLE: AtomicBool = AtomicBool::new(false);

/// The bar below the lines, while there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Shows what goes on, and how far it is, in percent where that is known. Tells whether anybody sees it.
pub fn progress(message: String, percent: Option<u64>) -> bool {
    if !PEOPLE.load(Ordering::Relaxed) || !has_room() {
        return false;
    }
    let Ok(mut bar) = BAR.lock() else { return false };
    let bar = bar.get_or_insert_with(|| {
        ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr())
    });
    let template = match percent {
        Some(_) => "{spinner} [{bar:24}] {percent}% {wide_msg}",
        None => "{spinner} {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_position(percent.unwrap_or_default());
    bar.set_message(message);
    bar.tick();
    !bar.is_hidden()
}

/// Takes it away again.
pub fn progress_ended() {
    let bar = BAR.lock().ok().and_then(|mut bar| bar.take());
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// A line goes above the bar.
fn write_above_the_bar(line: &[u8]) {
    let write = || write(line, PATIENCE.load(Ordering::Relaxed));
    match BAR.lock().as_deref() {
        Ok(Some(bar)) if has_room() => bar.suspend(write),
        _ => write(),
    };
}

/// Whether the line before was cut in its middle.
static CUT: AtomicBool = AtomicBool::new(false);

/// Whether there was room for all of it within so many milliseconds a part.
fn write(line: &[u8], patience: u16) -> bool {
    if CUT.swap(false, Ordering::Relaxed) && write_part(b"\n", patience).is_err() {
        CUT.store(true, Ordering::Relaxed);
        return false;
    }
    let mut rest = line;
    while !rest.is_empty() {
        match write_part(rest, patience) {
            Ok(written) => rest = &rest[written.min(rest.len())..],
            Err(_) => {
                CUT.store(rest.len() < line.len(), Ordering::Relaxed);
                return false;
            }
        }
    }
    true
}

/// As much as goes at once: at most what a pipe takes whole.
fn write_part(bytes: &[u8], patience: u16) -> nix::Result<usize> {
    let stderr = std::io::stderr();
    let stderr = stderr.as_fd();
    let bytes = &bytes[..bytes.len().min(libc::PIPE_BUF)];
    match sys::write_without_waiting(stderr, bytes) {
        // No room, or a file or a kernel that cannot tell.
        Err(Errno::EAGAIN | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {}
        done => return done,
    }
    match wait_for_room(PollTimeout::from(patience)) {
        Ok(0) => Err(Errno::EAGAIN),
        // Room for PIPE_BUF at least, says POLLOUT.
        Ok(_) => nix::unistd::write(stderr, bytes),
        Err(error) => Err(error),
    }
}

/// Whether something can be written without waiting: a terminal may have been stopped.
fn has_room() -> bool {
    wait_for_room(PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn wait_for_room(patience: PollTimeout) -> nix::Result<i32> {
    poll(&mut [PollFd::new(std::io::stderr().as_fd(), PollFlags::POLLOUT)], patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str, rest: &str) -> Fields {
        Fields { json: false, message: message.to_owned(), rest: rest.to_owned() }
    }

    #[test]
    fn every_line_of_a_report_says_who_speaks() {
        let lines =
            text_lines(Level::ERROR, &fields("no\n  | SELEC\n  | ^^^^^", " file=a.sql"), false);
        assert_eq!(
            lines,
            "premain: error: no file=a.sql\npremain:   | SELEC\npremain:   | ^^^^^\n"
        );
        assert_eq!(text_lines(Level::INFO, &fields("ready", ""), true), "premain: ready\n");
    }

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let line = text_lines(Level::INFO, &fields("notice: \x1b[2J\r\tfine é", ""), false);
        assert_eq!(line, "premain: notice: \\u{1b}[2J\\r\tfine é\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut fields = fields("it said \"no\"\nand again", ",\"pid\":7");
        fields.json = true;
        let line = json_line(Level::WARN, &fields, OffsetDateTime::UNIX_EPOCH);
        assert!(line.ends_with("}\n") && !line[..line.len() - 1].contains('\n'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "1970-01-01T00:00:00Z");
        assert_eq!(value["level"], "warn");
        assert_eq!(value["message"], "it said \"no\"\nand again");
        assert_eq!(value["pid"], 7);
    }
}
