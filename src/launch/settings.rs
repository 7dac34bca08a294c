//! How the application is started.

use std::ffi::OsString;
use std::fmt;

use super::user::User;

/// How the application is started.
#[derive(Clone)]
pub struct Settings {
    /// As whom, if not as premain itself.
    pub user: Option<User>,
    /// Its environment, without what is premain's alone.
    pub environment: Vec<(OsString, OsString)>,
}

impl fmt::Debug for Settings {
    /// Without the environment's values, which hold every secret of the application.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch").field("user", &self.user).field("environment", &names).finish()
    }
}
