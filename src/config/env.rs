//! The environment: which variables name the database, `_FILE`, what the application gets.
use super::*;

/// The process environment, `_FILE` variables resolved, empty variables left out.
pub struct Environment {}

/// What the environment says about servers.
#[derive(Debug, Default)]
pub struct Found {
    /// The database to wait for and to migrate.
    pub database: Option<Database>,
    /// One more server to wait for: `DB_HOST` beside a URL, or alone.
    pub server: Option<Target>,
}

impl Environment {
    pub fn new(_variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Environment {}
    }
    pub fn with_prefix<'a>(&'a self, _prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        std::iter::empty()
    }
    pub fn databases(&mut self, _problems: &mut Vec<Problem>, _warnings: &mut Vec<String>) -> Found {
        Found::default()
    }
    pub fn for_application(self, _dropped: &[String]) -> Vec<(OsString, OsString)> {
        Vec::new()
    }
}
