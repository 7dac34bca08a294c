//! Why the server rejected a migration, rendered as a compiler does: file, line, column, caret, and what the server said.

use std::fmt;

use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet};
use tokio_postgres::error::{DbError, ErrorPosition};

use super::sqlstate;
use crate::migrate::sql::checked::not_written;
use crate::migrate::sql::location::{self, Location};
use crate::migrate::sql::{Script, Text};
use crate::redact;

/// What the server said, and where in the file.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    /// `migrations/V3__orders.sql:4:12`; without line and column if the server sent no position.
    pub(crate) place: String,
    /// The message, its SQLSTATE and the name of that.
    pub(crate) message: String,
    /// The SQLSTATE; empty if the record of the migration was not written.
    pub(crate) code: String,
    /// The line, the caret, detail and hint, over several lines.
    pub(crate) drawing: String,
}

/// A position in a file, in characters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Position {
    /// The position of the word that the error is about.
    Word(usize),
    /// The position of the statement that the error is about.
    Statement(usize),
}

impl Diagnosis {
    pub(super) fn new(script: &Script, position: Option<Position>, error: &DbError) -> Self {
        let path = script.file.display().to_string();
        let code = error.code().code().to_owned();
        let (message, code) = match (not_written(error.message()), sqlstate::name(&code)) {
            // It is premain's own error.
            (Some(why), _) => (why.to_owned(), String::new()),
            (None, Some(name)) => (format!("{} ({code} {name})", error.message()), code),
            (None, None) => (format!("{} ({code})", error.message()), code),
        };
        // If the file can no longer be read, there is no line to show.
        let find = |position| location::find(&script.sql, position).ok().flatten();
        let location = match position {
            None => None,
            Some(Position::Word(position)) => find(position),
            Some(Position::Statement(position)) => {
                find(position).map(Location::extended_to_line_end)
            }
        };
        let inner = match error.position() {
            // The server counts from 1.
            Some(ErrorPosition::Internal { position, query }) => {
                let position = (*position as usize).saturating_sub(1);
                location::find(&Text::InMemory(query.clone()), position).ok().flatten()
            }
            Some(ErrorPosition::Original(_)) | None => None,
        };
        let place = location.as_ref().map_or(path, |location| location.place(&script.file));
        let mut group = Level::ERROR.primary_title(message.clone()).element(match &location {
            Some(location) => snippet(location).path(place.clone()),
            None => Snippet::source("").path(place.clone()),
        });
        if let Some(location) = &inner {
            group = group.element(snippet(location).path("the function's own SQL"));
        }
        let within = |part: Option<&str>, whole: Option<&str>| {
            part.map(|part| whole.map_or(part.to_owned(), |whole| format!("{whole}.{part}")))
        };
        let table = within(error.table(), error.schema());
        let facts = [
            ("detail", error.detail().map(str::to_owned)),
            ("hint", error.hint().map(str::to_owned)),
            ("in", error.where_().map(str::to_owned)),
            ("constraint", error.constraint().map(str::to_owned)),
            ("column", within(error.column(), table.as_deref())),
            ("table", table.filter(|_| error.column().is_none())),
            ("data type", within(error.datatype(), error.schema())),
        ];
        for (name, fact) in facts {
            if let Some(fact) = fact {
                group = group.element(Level::NOTE.with_name(name).message(fact));
            }
        }
        let drawing = Renderer::plain().render(&[group]);
        // The title is already in the first line of the message.
        let drawing = drawing.split_once('\n').map_or("", |(_, rest)| rest);
        // If the line was cut, the drawing has the wrong column.
        let drawing = drawing.lines().map(|line| match line.split_once("--> ") {
            Some((indentation, rest))
                if rest.starts_with(&place) && indentation.trim().is_empty() =>
            {
                format!("{indentation}--> {place}")
            }
            _ => line.to_owned(),
        });
        let drawing = drawing.collect::<Vec<_>>().join("\n");
        Diagnosis { place, message, code, drawing }
    }
}

fn snippet(location: &Location) -> Snippet<'_, Annotation<'_>> {
    let caret = AnnotationKind::Primary.span(location.span.clone());
    // Redacted before it is drawn: the rest of a cut line may no longer look like a secret.
    Snippet::source(redact::masked(location.text.clone()))
        .line_start(location.line)
        .annotation(caret)
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.drawing)
    }
}
