//! Becoming the application: its user, its environment, its signals, and then `execve`.

#![forbid(unsafe_code)]

mod diagnose;
mod settings;
pub mod user;

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

use crate::exit::Exit;
use crate::sys::Inherited;
pub use settings::Settings;
pub use user::User;

/// Why the application could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such program.
    #[error("cannot find {program:?}: {why}")]
    NotFound {
        /// As it was given.
        program: OsString,
        /// Where it was looked for.
        why: String,
    },
    /// There is one, and it does not run.
    #[error("cannot execute {}: {why}", .program.display())]
    CannotExecute {
        /// Where it was found.
        program: PathBuf,
        /// What the kernel says, and what is behind it.
        why: String,
    },
    /// `--user`.
    #[error(
        "cannot become user {name} (uid {uid}, gid {gid}) for the application: {source}; this \
         takes root with the capabilities SETUID and SETGID: start the container as root, or as \
         that user and without --user"
    )]
    User {
        /// As it was given.
        name: String,
        /// Its number.
        uid: u32,
        /// Its group's number.
        gid: u32,
        /// What the kernel says.
        source: Errno,
    },
    /// An argument or variable that no program can get.
    #[error("{0:?} holds a nul byte, which no argument or variable can")]
    Nul(OsString),
}

impl Error {
    /// The exit status that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Error::NotFound { .. } => Exit::NotFound,
            Error::CannotExecute { .. } => Exit::CannotExecute,
            Error::User { .. } => Exit::Config,
            Error::Nul(_) => Exit::Config,
        }
    }
}

/// Looks whether the application could be given its user, before anything has been done for it.
///
/// # Errors
/// [`Error::User`].
pub fn check(launch: &Settings) -> Result<(), Error> {
    let Some(user) = other_user(launch) else {
        return Ok(());
    };
    // Setting the groups to what they are changes nothing, and takes the same privilege.
    let groups = unistd::getgroups().and_then(|groups| unistd::setgroups(&groups));
    groups.map_err(|source| refused(user, source))
}

/// Becomes the application; returns only if that could not be.
pub fn exec(launch: &Settings, application: &[OsString], inherited: &Inherited) -> Error {
    match Call::prepare(launch, application) {
        Ok(call) => inherited.restored(|| call.execute()),
        Err(error) => error,
    }
}

/// Everything that `execve` needs, so that nothing is left to be done once signals can kill us.
pub struct Call<'a> {
    program: &'a OsStr,
    search: &'a OsStr,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// Where programs are looked for if there is no PATH: as Docker does.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl<'a> Call<'a> {
    /// Becomes the user of `launch`, if it names one, and prepares what executes these words with
    /// its environment.
    ///
    /// # Errors
    /// [`Error::User`], [`Error::Nul`].
    pub fn prepare(launch: &'a Settings, words: &'a [OsString]) -> Result<Call<'a>, Error> {
        let user = other_user(launch);
        if let Some(user) = user {
            become_user(user).map_err(|source| refused(user, source))?;
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

    /// Executes it, and returns only if that could not be.
    ///
    /// As a shell does: a name with a slash is a path, any other is looked for in PATH, and a
    /// candidate that may not be executed is remembered in case there is no other.
    pub fn execute(&self) -> Error {
        if self.program.as_bytes().contains(&b'/') {
            let program = Path::new(self.program);
            return match self.try_execute(program) {
                Errno::ENOENT | Errno::ENOTDIR if !program.exists() => self.not_found(
                    "there is no such file; a relative path begins at the working directory",
                ),
                error => diagnose::cannot_execute(program, error),
            };
        }
        let mut refused = None;
        for folder in std::env::split_paths(self.search) {
            let candidate = folder.join(self.program);
            match self.try_execute(&candidate) {
                Errno::ENOENT | Errno::ENOTDIR if !candidate.exists() => {}
                Errno::EACCES => refused = refused.or(Some((candidate, Errno::EACCES))),
                error => return diagnose::cannot_execute(&candidate, error),
            }
        }
        match refused {
            Some((candidate, error)) => diagnose::cannot_execute(&candidate, error),
            None => {
                self.not_found(&format!("it is in no folder of PATH, {}", self.search.display()))
            }
        }
    }

    fn try_execute(&self, program: &Path) -> Errno {
        match c_string(program.as_os_str()) {
            Ok(path) => match unistd::execve(&path, &self.arguments, &self.environment) {
                Ok(never) => match never {},
                Err(error) => error,
            },
            Err(_) => Errno::ENOENT,
        }
    }

    fn not_found(&self, why: &str) -> Error {
        Error::NotFound { program: self.program.to_owned(), why: why.to_owned() }
    }
}

/// The application's variables, those set that only we can know.
fn environment(launch: &Settings, user: Option<&User>) -> Result<Vec<CString>, Error> {
    let pid = unistd::Pid::this().to_string();
    let mut home = user.map(|user| user.home.as_os_str());
    let mut variables = Vec::with_capacity(launch.environment.len() + 1);
    for (name, value) in &launch.environment {
        let value = match name.as_bytes() {
            // Sockets that were passed on (sd_listen_fds) are for the process of this number,
            b"LISTEN_PID" => OsStr::new(&pid),
            // or of this identity, which cannot be known yet and may be left out.
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

/// Groups first: whoever has given up root cannot change them anymore.
fn become_user(user: &User) -> nix::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups)?;
    unistd::setgid(Gid::from_raw(user.gid))?;
    unistd::setuid(Uid::from_raw(user.uid))
}

/// Whom to become; nobody if that is who we are.
fn other_user(launch: &Settings) -> Option<&User> {
    let ours = |user: &&User| {
        [Uid::current(), Uid::effective()] == [Uid::from_raw(user.uid); 2]
            && [Gid::current(), Gid::effective()] == [Gid::from_raw(user.gid); 2]
    };
    launch.user.as_ref().filter(|user| !ours(user))
}

fn refused(user: &User, source: Errno) -> Error {
    Error::User { name: user.name.clone(), uid: user.uid, gid: user.gid, source }
}
