//! Writes log lines to stderr as text or JSON, and on a terminal a progress bar below them.
//!
//! Each event is one line. stderr is shared with the application, so its flags are never changed;
//! a line that cannot be written within a short timeout is dropped.

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

use crate::{redact, sys};

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

/// Starts logging. Only the first call has an effect.
pub fn start(settings: Settings) {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let terminal = !settings.json && std::io::stderr().is_terminal();
    let colour = wanted && terminal;
    WITH_BAR.store(terminal && settings.level >= Level::INFO, Ordering::Relaxed);
    JSON.store(settings.json, Ordering::Relaxed);
    // It fails if logging was started before.
    let _ = tracing::subscriber::set_global_default(Logger { settings, colour });
}

/// Writes a line that a hook printed, whatever the log level, and in text byte by byte as it is.
/// Returns whether there was room for it; with `hurried` it does not wait for room.
pub(crate) fn pass_on(hook: &str, line: &[u8], hurried: bool) -> bool {
    let timeout = if hurried { 0 } else { TIMEOUT.load(Ordering::Relaxed) };
    if JSON.load(Ordering::Relaxed) {
        let message = String::from_utf8_lossy(line).into_owned();
        let rest = format!(",\"hook\":{}", json_string(hook));
        let fields = Fields { json: true, message, rest };
        write(json_line(Level::INFO, &fields, OffsetDateTime::now_utc()).as_bytes(), timeout)
    } else {
        write(&[hook.as_bytes(), b": ", line, b"\n"].concat(), timeout)
    }
}

/// Whether the format is JSON, for lines that are not events.
static JSON: AtomicBool = AtomicBool::new(false);

/// Drops every line from now on that cannot be written at once: an init must not wait for a reader.
pub(crate) fn never_wait() {
    TIMEOUT.store(0, Ordering::Relaxed);
}

/// How many milliseconds a line may wait for room: during the boot a slow reader gets some time.
static TIMEOUT: AtomicU16 = AtomicU16::new(200);

/// It has no spans, registries or layers, because PID 1 keeps its memory as long as it lives.
struct Logger {
    settings: Settings,
    colour: bool,
}

impl Subscriber for Logger {
    /// Only premain's own events, down to the level: those of its dependencies do not help a user.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= self.settings.level
            && metadata.target().starts_with(env!("CARGO_PKG_NAME"))
    }

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut fields = Fields { json: self.settings.json, ..Fields::default() };
        event.record(&mut fields);
        let line = match self.settings.json {
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

/// The fields of an event, formatted.
#[derive(Default)]
struct Fields {
    json: bool,
    message: String,
    /// The fields after the message: ` key=value`, or `,"key":value`.
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
        // A server's message or the text of a migration may contain a secret.
        let value = redact::masked(value);
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

/// Without the time, which `docker logs -t` adds. Each line of a message begins with the prefix.
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
        lines.extend(line.chars().flat_map(escaped));
        if index == 0 {
            lines.push_str(&fields.rest);
        }
        lines.push('\n');
    }
    lines
}

/// Escapes control characters, so that a server's notice cannot control the terminal.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let controls = character.is_control() && character != '\t';
    let escaped = controls.then(|| character.escape_default());
    escaped.into_iter().flatten().chain((!controls).then_some(character))
}

/// Whether to show the progress bar: stderr is a terminal, and the level does not ask for silence.
static WITH_BAR: AtomicBool = AtomicBool::new(false);

/// The bar below the lines, while it is shown.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Shows `message` in a progress bar, with a percentage where it is known. Returns whether the bar
/// is visible: if not, the caller may want to log instead.
pub(crate) fn show_progress(message: String, percent: Option<u64>) -> bool {
    if !WITH_BAR.load(Ordering::Relaxed) || !has_room() {
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

/// Removes the progress bar.
pub(crate) fn clear_progress() {
    let bar = BAR.lock().ok().and_then(|mut bar| bar.take());
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Writes a line; the bar, if there is one, is drawn again below it.
fn write_above_the_bar(line: &[u8]) {
    let write = || write(line, TIMEOUT.load(Ordering::Relaxed));
    match BAR.lock().as_deref() {
        Ok(Some(bar)) if has_room() => bar.suspend(write),
        _ => write(),
    };
}

/// Whether only a part of the last line was written.
static CUT: AtomicBool = AtomicBool::new(false);

/// Writes a line in chunks, each within `timeout` milliseconds. Returns whether it is complete.
fn write(line: &[u8], timeout: u16) -> bool {
    if CUT.swap(false, Ordering::Relaxed) && write_chunk(b"\n", timeout).is_err() {
        CUT.store(true, Ordering::Relaxed);
        return false;
    }
    let mut rest = line;
    while !rest.is_empty() {
        match write_chunk(rest, timeout) {
            Ok(written) => rest = &rest[written.min(rest.len())..],
            Err(_) => {
                CUT.store(rest.len() < line.len(), Ordering::Relaxed);
                return false;
            }
        }
    }
    true
}

/// Writes at most `PIPE_BUF` bytes, which a pipe takes as a whole.
fn write_chunk(bytes: &[u8], timeout: u16) -> nix::Result<usize> {
    let stderr = std::io::stderr();
    let stderr = stderr.as_fd();
    let bytes = &bytes[..bytes.len().min(libc::PIPE_BUF)];
    match sys::write_without_waiting(stderr, bytes) {
        // No room, or this file or kernel does not support the question.
        Err(Errno::EAGAIN | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {}
        done => return done,
    }
    match wait_for_room(PollTimeout::from(timeout)) {
        Ok(0) => Err(Errno::EAGAIN),
        // POLLOUT promises room for PIPE_BUF.
        Ok(_) => nix::unistd::write(stderr, bytes),
        Err(error) => Err(error),
    }
}

/// Whether a write would not block: a terminal may have been stopped with ^S.
fn has_room() -> bool {
    wait_for_room(PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn wait_for_room(timeout: PollTimeout) -> nix::Result<i32> {
    poll(&mut [PollFd::new(std::io::stderr().as_fd(), PollFlags::POLLOUT)], timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str, rest: &str) -> Fields {
        Fields { json: false, message: message.to_owned(), rest: rest.to_owned() }
    }

    #[test]
    fn every_line_of_a_report_begins_with_the_prefix() {
        let lines =
            text_lines(Level::ERROR, &fields("no\n  | SELEC\n  | ^^^^^", " file=a.sql"), false);
        assert_eq!(
            lines,
            "premain: error: no file=a.sql\npremain:   | SELEC\npremain:   | ^^^^^\n"
        );
        assert_eq!(text_lines(Level::INFO, &fields("ready", ""), true), "premain: ready\n");
    }

    #[test]
    fn control_characters_of_a_server_are_escaped() {
        let line = text_lines(Level::INFO, &fields("notice: \x1b[2J\r\tfine é", ""), false);
        assert_eq!(line, "premain: notice: \\u{1b}[2J\\r\tfine é\n");
    }

    #[test]
    fn a_json_event_is_one_line() {
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
