//! A question at the terminal, before something that cannot be undone.

use std::io::{self, IsTerminal as _, Write as _};

use crate::error::Error;
use crate::shutdown::Shutdown;

/// Whether there is a terminal to ask at.
pub(super) fn can_be_asked() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks `question`; returns whether the answer is one of `answers`.
///
/// # Errors
/// [`Error::Stopped`]: a signal came first.
pub(super) async fn confirmed(
    question: &str,
    answers: &[&str],
    shutdown: &Shutdown,
) -> Result<bool, Error> {
    let mut screen = io::stdout();
    let _ = write!(screen, "{question} ").and_then(|()| screen.flush());
    // Signals are blocked in every thread: no ^C would interrupt a read on this one.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = shutdown.race("asking", answer).await?;
    let line = answer.ok().and_then(Result::ok).unwrap_or_default();
    Ok(answers.contains(&line.trim()))
}
