//! SQL as text: splitting a script into statements, quoting, and finding a position in a file.

pub mod location;
pub mod quoting;
pub mod script;
pub mod splitter;
pub mod text;

pub(crate) use script::Reader;
pub use script::{Script, Survey};
pub use splitter::Kind;
pub use text::Text;
