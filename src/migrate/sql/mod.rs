//! SQL as text: splitting a script into statements, quoting, and finding a position in a file.

pub(super) mod checked;
pub(super) mod location;
pub(super) mod quoting;
pub(super) mod repeatable;
mod script;
pub(super) mod splitter;
mod text;

pub(crate) use script::Reader;
pub(crate) use script::{Script, Survey};
pub(crate) use splitter::{End, Kind};
pub(crate) use text::Text;
