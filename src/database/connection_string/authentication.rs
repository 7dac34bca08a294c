//! The parameters about who the server is and how it may authenticate us.

use super::settings::Checker;
use crate::database::settings::{AuthMethod, Host, Peer, RequireAuth};
use crate::launch::user::User;

/// The methods of libpq's `require_auth`; `None` for those that premain does not know.
const METHODS: [(&str, Option<AuthMethod>); 7] = [
    ("none", Some(AuthMethod::None)),
    ("password", Some(AuthMethod::Password)),
    ("md5", Some(AuthMethod::Md5)),
    ("scram-sha-256", Some(AuthMethod::ScramSha256)),
    ("gss", None),
    ("sspi", None),
    ("oauth", None),
];

impl Checker<'_> {
    /// `require_auth`: a list of methods that are acceptable or, each with a '!', of those that are not.
    pub(super) fn require_auth(&mut self) -> Option<RequireAuth> {
        let text = self.text("require_auth")?;
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        let names: Vec<&str> = words.iter().map(|word| word.trim_start_matches('!')).collect();
        let negated = words.iter().filter(|word| word.starts_with('!')).count();
        let known = names.iter().all(|name| METHODS.iter().any(|(known, _)| known == name));
        if !known || !(negated == 0 || negated == words.len()) {
            let methods = METHODS.map(|(name, _)| name).join(", ");
            self.complain("require_auth", &format!("a list of {methods}, or of all with a '!'"));
            return None;
        }
        let allowed = METHODS.iter().filter(|(name, _)| names.contains(name) != (negated > 0));
        let methods: Vec<_> = allowed.filter_map(|(_, method)| *method).collect();
        if methods.is_empty() {
            self.reject(
                "require_auth",
                text,
                "but premain authenticates with password, md5 and scram-sha-256 only",
            );
        }
        Some(RequireAuth { text: text.to_owned(), methods })
    }

    /// `requirepeer`, which is for unix sockets only, as in libpq.
    pub(super) fn require_peer(&mut self, hosts: &[Host]) -> Option<Peer> {
        let name = self.text("requirepeer")?;
        if !hosts.iter().any(|host| matches!(host, Host::Unix { .. })) {
            return None;
        }
        match User::parse(name) {
            Ok(User { uid, .. }) => Some(Peer { name: name.to_owned(), uid }),
            Err(why) => {
                self.reject("requirepeer", name, &why);
                None
            }
        }
    }
}
