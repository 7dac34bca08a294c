//! The parameters about who the server is and how it may authenticate us.

use super::settings::Checker;
use crate::database::settings::{Host, Peer, RequireAuth};
use crate::launch::user::User;

/// The methods of libpq's `require_auth`.
const METHODS: [&str; 7] = ["none", "password", "md5", "scram-sha-256", "gss", "sspi", "oauth"];

impl Checker<'_> {
    /// `require_auth`: a list of methods that are acceptable or, each with a '!', of those that are not.
    pub(super) fn require_auth(&mut self) -> Option<RequireAuth> {
        let text = self.text("require_auth")?;
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        let names: Vec<&str> = words.iter().map(|word| word.trim_start_matches('!')).collect();
        let negated = words.iter().filter(|word| word.starts_with('!')).count();
        let known = names.iter().all(|name| METHODS.contains(name));
        if !known || !(negated == 0 || negated == words.len()) {
            let methods = METHODS.join(", ");
            self.complain("require_auth", &format!("a list of {methods}, or of all with a '!'"));
            return None;
        }
        let allows = |name| names.contains(&name) != (negated > 0);
        let allowed = RequireAuth {
            text: text.to_owned(),
            none: allows("none"),
            password: allows("password"),
            md5: allows("md5"),
            scram: allows("scram-sha-256"),
        };
        if !(allowed.none || allowed.password || allowed.md5 || allowed.scram) {
            self.reject(
                "require_auth",
                text,
                "but premain authenticates with password, md5 and scram-sha-256 only",
            );
        }
        Some(allowed)
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
