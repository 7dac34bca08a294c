//! A question at the terminal, before something that cannot be undone.

use std::io::{self, IsTerminal as _, Write as _};
use std::thread;

use crate::error::Error;
use crate::shutdown::Shutdown;

/// Whether there is a terminal to ask at.
pub(super) fn can_be_asked() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks `question`; returns whether the answer is one of `answers`.
///
/// # Errors
/// [`Error::Stopped`]: a signal came first; [`Error::System`].
pub(super) async fn confirmed(
    question: &str,
    answers: &[&str],
    shutdown: &Shutdown,
) -> Result<bool, Error> {
    let mut screen = io::stdout();
    let _ = write!(screen, "{question} ").and_then(|()| screen.flush());
    // Signals are blocked in every thread: no ^C would interrupt a read on this one.
    let (sender, answer) = tokio::sync::oneshot::channel();
    let read = move || {
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        let _ = sender.send(line);
    };
    thread::Builder::new()
        .spawn(read)
        .map_err(|source| Error::System { what: "read the answer", source })?;
    let line = shutdown.race("asking", answer).await?.unwrap_or_default();
    Ok(answers.contains(&line.trim()))
}
