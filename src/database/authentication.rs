//! `require_auth`: checks how the server asks us to authenticate, before it gets an answer.

use std::io;

use super::settings::{AuthMethod, RequireAuth};

/// The kind of the error that the server authenticates in a way that is not allowed.
pub(super) const NOT_ALLOWED: io::ErrorKind = io::ErrorKind::Unsupported;

/// Follows a server's requests to authenticate.
#[derive(Default)]
pub(super) struct Guard {
    /// What is allowed; `None` for everything.
    required: Option<RequireAuth>,
    /// Whether the server has asked for the password.
    asked: bool,
    /// The code of the request, and how many of its bytes are missing.
    request: (u32, usize),
}

impl Guard {
    pub(super) fn new(required: Option<RequireAuth>) -> Guard {
        Guard { required, ..Guard::default() }
    }

    /// A message of this kind begins.
    pub(super) fn begin(&mut self, kind: u8) {
        self.request = (0, if kind == b'R' { 4 } else { 0 });
    }

    /// Reads the next bytes of the message.
    ///
    /// # Errors
    /// [`NOT_ALLOWED`]
    pub(super) fn follow(&mut self, body: &[u8]) -> io::Result<()> {
        let (code, missing) = &mut self.request;
        if *missing == 0 {
            return Ok(());
        }
        for byte in body.iter().take(*missing) {
            *code = *code << 8 | u32::from(*byte);
        }
        *missing = missing.saturating_sub(body.len());
        let (Some(required), 0) = (&self.required, *missing) else { return Ok(()) };
        let (method, what) = match code {
            0 if self.asked => return Ok(()),
            0 => (AuthMethod::None, "lets us in without authentication"),
            3 => (AuthMethod::Password, "asks for the password in clear text"),
            5 => (AuthMethod::Md5, "asks for the MD5 of the password"),
            10 => (AuthMethod::ScramSha256, "authenticates with SCRAM-SHA-256"),
            _ => return Ok(()),
        };
        self.asked = true;
        let RequireAuth { text, methods } = required;
        if methods.contains(&method) {
            return Ok(());
        }
        let what = format!("the server {what}, which require_auth={text} does not allow");
        Err(io::Error::new(NOT_ALLOWED, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_to_authenticate_is_checked_wherever_it_is_split() {
        let required =
            |methods: &[_]| Some(RequireAuth { text: "x".to_owned(), methods: methods.to_vec() });
        for (code, method) in [
            (0, AuthMethod::None),
            (3, AuthMethod::Password),
            (5, AuthMethod::Md5),
            (10, AuthMethod::ScramSha256),
        ] {
            let request = [0, 0, 0, code, b'x'];
            for at in 0..request.len() {
                let follow = |required| {
                    let mut guard = Guard::new(required);
                    guard.begin(b'R');
                    guard.follow(&request[..at]).and_then(|()| guard.follow(&request[at..]))
                };
                assert!(follow(required(&[method])).is_ok() && follow(None).is_ok());
                assert_eq!(follow(required(&[])).unwrap_err().kind(), NOT_ALLOWED);
            }
        }
        // After a password, "authenticated" is no authentication by nothing.
        let mut guard = Guard::new(required(&[AuthMethod::Password]));
        for code in [3, 0] {
            guard.begin(b'R');
            guard.follow(&[0, 0, 0, code]).unwrap();
        }
    }
}
