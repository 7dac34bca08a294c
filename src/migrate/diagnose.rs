//! A rejected migration, shown as a compiler would: file, line, column, caret, and what the server
//! said about it.

use std::fmt;

use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet};
use tokio_postgres::error::{DbError, ErrorPosition};

use super::source::{Script, Text, spot};
use super::sqlstate;
use crate::redact;

/// What the server said, and where in the file.
#[derive(Debug)]
pub struct Diagnosis {
    /// `migrations/V3__orders.sql:4:12`, without line and column where nobody can tell.
    pub place: String,
    /// The message, its SQLSTATE and what that is called.
    pub message: String,
    /// The five characters of the SQLSTATE.
    pub code: String,
    /// The drawing: the line, the caret, detail and hint.
    pub drawing: String,
}

/// A place in a script, in characters from the beginning of the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Position {
    /// Of the very word.
    Word(usize),
    /// Of the statement.
    Statement(usize),
}

impl Diagnosis {
    pub(super) fn new(script: &Script, position: Option<Position>, error: &DbError) -> Self {
        let path = script.file.display().to_string();
        let code = error.code().code().to_owned();
        let message = match sqlstate::name(&code) {
            Some(name) => format!("{} ({code} {name})", error.message()),
            None => format!("{} ({code})", error.message()),
        };
        // A file that cannot be read any more has no line to show.
        let find = |position| spot::find(&script.sql, position).ok().flatten();
        let spot = match position {
            None => None,
            Some(Position::Word(position)) => find(position),
            Some(Position::Statement(position)) => find(position).map(spot::Spot::with_its_line),
        };
        let inner = match error.position() {
            // The server counts from 1.
            Some(ErrorPosition::Internal { position, query }) => {
                let position = (*position as usize).saturating_sub(1);
                spot::find(&Text::Here(query.clone()), position).ok().flatten()
            }
            Some(ErrorPosition::Original(_)) | None => None,
        };
        let place = spot.as_ref().map_or(path, |spot| spot.place(&script.file));
        let mut group = Level::ERROR.primary_title(message.clone()).element(match &spot {
            Some(spot) => snippet(spot).path(place.clone()),
            None => Snippet::source("").path(place.clone()),
        });
        if let Some(spot) = &inner {
            group = group.element(snippet(spot).path("the function's own SQL"));
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
        // The title stands in our own first line already.
        let drawing = drawing.split_once('\n').map_or("", |(_, rest)| rest);
        // Of a line that was cut, the drawing does not know the column.
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

fn snippet(spot: &spot::Spot) -> Snippet<'_, Annotation<'_>> {
    let caret = AnnotationKind::Primary.span(spot.span.clone());
    // Before it is drawn: a long line is cut, and what is left may no longer look like a secret.
    Snippet::source(redact::masked(spot.text.clone())).line_start(spot.line).annotation(caret)
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.drawing)
    }
}
