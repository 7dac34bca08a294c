//! The operations besides applying: each is a method of [`Migrator`](super::Migrator).

mod baseline;
pub(crate) mod dry_run;
pub(crate) mod reset;
mod resolve;
mod rollback;
