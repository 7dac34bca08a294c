//! The operations besides applying: each is a method of [`Migrator`](super::Migrator).

pub mod baseline;
pub mod dry_run;
pub mod reset;
pub mod resolve;
pub mod rollback;
