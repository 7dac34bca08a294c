//! Becomes the application: user, environment and signals, then `execve`.

#![forbid(unsafe_code)]

mod diagnose;
mod error;
mod settings;
pub mod user;

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

use crate::sys::Inherited;
pub use error::Error;
pub use settings::Settings;
pub use user::User;

/// Checks that premain may become the application's user, before anything else is done.
///
/// # Errors
/// [`Error::User`] if it may not.
pub fn check(launch: &Settings) -> Result<(), Error> {
    let Some(user) = other_user(launch) else { return Ok(()) };
    // Setting the groups to what they are changes nothing, and takes the same privilege.
    let groups = unistd::getgroups().and_then(|groups| unistd::setgroups(&groups));
    groups.map_err(|source| cannot_become(user, source))
}

/// Becomes the application. Returns only if that failed.
pub fn exec(launch: &Settings, application: &[OsString], inherited: &Inherited) -> Error {
    match Call::prepare(launch, application) {
        Ok(call) => inherited.restored(|| call.execute()),
        Err(error) => error,
    }
}

/// What `execve` needs, prepared before signals are unblocked and could kill this process.
pub(crate) struct Call<'a> {
    program: &'a OsStr,
    search: &'a OsStr,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// Where programs are searched if PATH is not set; the same as Docker's.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl<'a> Call<'a> {
    /// Becomes the user of `launch`, if it names one, and prepares the execution of `words`, a
    /// program and its arguments.
    ///
    /// # Errors
    /// [`Error::User`], [`Error::Nul`].
    pub(crate) fn prepare(launch: &'a Settings, words: &'a [OsString]) -> Result<Call<'a>, Error> {
        let user = other_user(launch);
        if let Some(user) = user {
            become_user(user).map_err(|source| cannot_become(user, source))?;
        }
        let variable =
            |wanted: &str| launch.environment.iter().find(|(n, _)| n == wanted).map(|(_, v)| v);
        Ok(Call {
            program: words.first().map(OsString::as_os_str).unwrap_or_default(),
            search: variable("PATH").map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str),
            arguments: words.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?,
            environment: environment(launch, user)?,
        })
    }

    /// Calls `execve`. Returns only if that failed.
    ///
    /// The program is searched as a shell does it: a name with a slash is a path, any other is
    /// searched in PATH. A file there that may not be executed is reported if no other is found.
    pub(crate) fn execute(&self) -> Error {
        if self.program.as_bytes().contains(&b'/') {
            let program = Path::new(self.program);
            return match self.try_execute(program) {
                Errno::ENOENT | Errno::ENOTDIR if !program.exists() => self.not_found(
                    "there is no such file; a relative path starts at the working directory",
                ),
                error => diagnose::cannot_execute(program, error),
            };
        }
        let mut denied = None;
        for directory in std::env::split_paths(self.search) {
            let candidate = directory.join(self.program);
            match self.try_execute(&candidate) {
                Errno::ENOENT | Errno::ENOTDIR if !candidate.exists() => {}
                Errno::EACCES => denied = denied.or(Some(candidate)),
                error => return diagnose::cannot_execute(&candidate, error),
            }
        }
        match denied {
            Some(candidate) => diagnose::cannot_execute(&candidate, Errno::EACCES),
            None => self
                .not_found(&format!("no directory of PATH contains it: {}", self.search.display())),
        }
    }

    fn try_execute(&self, program: &Path) -> Errno {
        let Ok(path) = c_string(program.as_os_str()) else { return Errno::ENOENT };
        let Err(error) = unistd::execve(&path, &self.arguments, &self.environment);
        error
    }

    fn not_found(&self, why: &str) -> Error {
        Error::NotFound { program: self.program.to_owned(), why: why.to_owned() }
    }
}

/// The application's environment, with the variables that depend on its process and user.
fn environment(launch: &Settings, user: Option<&User>) -> Result<Vec<CString>, Error> {
    let pid = unistd::Pid::this().to_string();
    let mut home = user.map(|user| user.home.as_os_str());
    let mut variables = Vec::with_capacity(launch.environment.len() + 1);
    for (name, value) in &launch.environment {
        let value = match name.as_bytes() {
            // Inherited sockets (sd_listen_fds) are meant for the process with this pid,
            b"LISTEN_PID" => OsStr::new(&pid),
            // or with this pidfd inode, which is optional and not known yet.
            b"LISTEN_PIDFDID" => continue,
            b"HOME" => home.take().unwrap_or(value),
            _ => value,
        };
        variables.push(entry(name, value)?);
    }
    if let Some(home) = home {
        variables.push(entry(OsStr::new("HOME"), home)?);
    }
    Ok(variables)
}

fn entry(name: &OsStr, value: &OsStr) -> Result<CString, Error> {
    let mut text = OsString::with_capacity(name.len() + value.len() + "=\0".len());
    text.push(name);
    text.push("=");
    text.push(value);
    CString::new(text.into_vec()).map_err(|_| Error::Nul(name.to_owned()))
}

fn c_string(text: &OsStr) -> Result<CString, Error> {
    CString::new(text.as_bytes()).map_err(|_| Error::Nul(text.to_owned()))
}

/// The groups come first, because only root can change them.
fn become_user(user: &User) -> nix::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups)?;
    unistd::setgid(Gid::from_raw(user.gid))?;
    unistd::setuid(Uid::from_raw(user.uid))
}

/// The user to become; `None` if this process already is that user.
fn other_user(launch: &Settings) -> Option<&User> {
    let is_current = |user: &&User| {
        [Uid::current(), Uid::effective()] == [Uid::from_raw(user.uid); 2]
            && [Gid::current(), Gid::effective()] == [Gid::from_raw(user.gid); 2]
    };
    launch.user.as_ref().filter(|user| !is_current(user))
}

fn cannot_become(user: &User, source: Errno) -> Error {
    Error::User { name: user.name.clone(), uid: user.uid, gid: user.gid, source }
}
