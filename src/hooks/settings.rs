//! The settings of the hooks: what runs when.

use super::command::Hook;

/// The hooks of a start.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--generate`
    pub generate: Option<Hook>,
    /// `--before-migrate`
    pub before_migrate: Option<Hook>,
    /// `--after-migrate`
    pub after_migrate: Option<Hook>,
    /// The executables of `/docker-entrypoint.d`, in the order of their names.
    pub entrypoint: Vec<Hook>,
}

impl Settings {
    /// Whether there are any hooks.
    pub(crate) fn are_any(&self) -> bool {
        let options = [&self.generate, &self.before_migrate, &self.after_migrate];
        options.into_iter().any(Option::is_some) || !self.entrypoint.is_empty()
    }
}
