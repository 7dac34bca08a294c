//! The settings of the launch: the application's user and environment.

use std::ffi::OsString;
use std::fmt;

use super::user::User;

/// How the application is started.
#[derive(Clone)]
pub struct Settings {
    /// The user to become; `None` to stay the user that premain runs as.
    pub user: Option<User>,
    /// The application's environment, without the variables that are only for premain.
    pub environment: Vec<(OsString, OsString)>,
}

impl fmt::Debug for Settings {
    /// Without the values of the environment, which contain the application's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch").field("user", &self.user).field("environment", &names).finish()
    }
}
