//! The subcommands, one file each.

mod baseline;
mod completions;
mod health;
mod new;
mod plan;
mod reset;
mod resolve;
mod rollback;
mod status;
mod validate;
mod versions;
