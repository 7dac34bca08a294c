//! Becomes the application: user, environment and signals, then `execve`.

#![forbid(unsafe_code)]

mod diagnose;
mod error;
mod settings;
pub mod user;

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

use crate::sys::{self, Inherited};
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

/// Finds out whether [`exec`] can succeed, with the application's environment and permissions.
///
/// # Errors
/// That of [`exec`].
pub(crate) fn find(launch: &Settings, application: &[OsString]) -> Result<(), Error> {
    let find = || Call::prepare(launch, application)?.find();
    if launch.user.is_none() {
        return find();
    }
    // A process of its own, because there is no way back from another user.
    let mut found = Ok(());
    match sys::fork_and_wait_for_exec(|| {
        found = find();
        0
    }) {
        Ok(child) => sys::wait_for(child),
        // What is not known now will turn out when the application is executed.
        Err(error) => tracing::debug!("cannot look for the application: {error}"),
    }
    found
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
        let other_user = other_user(launch);
        if let Some(user) = &launch.user {
            become_user(user, other_user.is_some())
                .map_err(|source| cannot_become(user, source))?;
        }
        let variable =
            |wanted: &str| launch.environment.iter().find(|(n, _)| n == wanted).map(|(_, v)| v);
        Ok(Call {
            program: words.first().map(OsString::as_os_str).unwrap_or_default(),
            search: variable("PATH").map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str),
            arguments: words.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?,
            environment: environment(launch, other_user)?,
        })
    }

    /// Calls `execve`. Returns only if that failed.
    pub(crate) fn execute(&self) -> Error {
        let Err(error) = self.search(|program| self.try_execute(program));
        error
    }

    /// Finds out whether [`Call::execute`] will succeed.
    fn find(&self) -> Result<(), Error> {
        self.search(diagnose::foresee)
    }

    /// Tries the files that the program's name may mean until `attempt` succeeds, in the order of
    /// execvp(3): a name with a slash is a path, any other is searched in PATH. A file there that
    /// cannot be executed is reported if no other is found.
    fn search<T>(&self, attempt: impl Fn(&Path) -> nix::Result<T>) -> Result<T, Error> {
        if self.program.as_bytes().contains(&b'/') {
            let program = Path::new(self.program);
            return attempt(program).map_err(|error| match error {
                Errno::ENOENT | Errno::ENOTDIR if !program.exists() => self.not_found(
                    "there is no such file; a relative path starts at the working directory",
                ),
                error => diagnose::cannot_execute(program, error),
            });
        }
        let mut failed = None;
        for directory in std::env::split_paths(self.search) {
            let candidate = directory.join(self.program);
            match attempt(&candidate) {
                Ok(found) => return Ok(found),
                Err(error @ (Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES)) => {
                    // Nor does it exist for this user in a directory that only root may search.
                    if candidate.exists() {
                        failed = failed.or(Some((candidate, error)));
                    }
                }
                Err(error) => return Err(diagnose::cannot_execute(&candidate, error)),
            }
        }
        Err(match failed {
            Some((candidate, error)) => diagnose::cannot_execute(&candidate, error),
            None => self
                .not_found(&format!("no directory of PATH contains it: {}", self.search.display())),
        })
    }

    /// Executes `program`, or, if the kernel does not know what it is, the shell with it as its
    /// script.
    fn try_execute(&self, program: &Path) -> nix::Result<Infallible> {
        let path = c_string(program.as_os_str()).map_err(|_| Errno::ENOENT)?;
        let failed = unistd::execve(&path, &self.arguments, &self.environment);
        if failed == Err(Errno::ENOEXEC) && diagnose::is_for_shell(program) {
            let arguments = self.arguments.iter().skip(1).map(CString::as_c_str);
            let words: Vec<&CStr> = [diagnose::SHELL, &path].into_iter().chain(arguments).collect();
            let _ = unistd::execve(diagnose::SHELL, &words, &self.environment);
        }
        failed
    }

    fn not_found(&self, why: &str) -> Error {
        let several = self.program.as_bytes().contains(&b' ');
        let hint = "; it contains a blank: the program and its arguments are words of their own, \
                    [\"node\", \"server.js\"]";
        let why = format!("{why}{}", if several { hint } else { "" });
        Error::NotFound { program: self.program.to_owned(), why }
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

/// Becomes the user, if it is another one, without capabilities in any case: an ambient one would
/// let the application become root again.
fn become_user(user: &User, is_other: bool) -> nix::Result<()> {
    sys::drop_inheritable_capabilities()?;
    if is_other { sys::set_user(user.uid, user.gid, &user.groups) } else { Ok(()) }
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
