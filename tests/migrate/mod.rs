//! Applying migrations, whatever their format.

mod applying;
mod drift;
mod halfway;
mod large_files;
mod no_transaction;
mod progress;
mod round_trips;
mod session;
mod sql_errors;
mod statements;
