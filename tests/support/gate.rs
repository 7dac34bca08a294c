//! A migration that takes until the test lets it go on.

use super::postgres::{Database, Open};

/// Ends once the gate is open. No lock is waited for, so that no timeout of a lock ends it.
pub const PASS: &str = "DO $$ BEGIN WHILE NOT pg_try_advisory_xact_lock_shared(4711) LOOP \
                        PERFORM pg_sleep(0.1); END LOOP; END $$";

/// The gate of this database is closed until this is dropped, or its session or the server ends.
pub fn close(database: &Database<'_>) -> Open {
    database.open("SELECT pg_advisory_lock(4711);")
}
