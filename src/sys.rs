//! System calls that no safe crate offers in the form that an init needs.
//!
//! This is the only module that contains `unsafe`. Signals are plain numbers, because nix's typed
//! signals end at 31, and 34 to 64 must be forwarded too.

#![allow(unsafe_code, reason = "see above")]
#![allow(
    clippy::borrow_as_ptr,
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "system calls have widths and pointers of their own"
)]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneCb, CloneFlags};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::signal::Signal;

// ---- The entry point ---------------------------------------------------------------------------

/// Defines `main`: calls `$run` with the arguments (without the program's name), and ends the
/// process with the [`Exit`](crate::exit::Exit) that it returns.
///
/// It replaces `fn main`, before which Rust's runtime starts. The runtime ignores SIGPIPE, which
/// the application would inherit; it aborts if a standard stream is closed and there is no
/// `/dev/null`; and it takes as long as everything else that premain does before its fork.
#[macro_export]
macro_rules! entry_point {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(count: std::ffi::c_int, words: *const *const std::ffi::c_char) -> ! {
            // SAFETY: these are what the C library calls `main` with.
            let arguments = unsafe { $crate::sys::arguments(count, words) };
            std::process::exit($run(arguments).code().into())
        }
    };
}

/// How many argument strings the kernel gave this process.
static ARGUMENTS: AtomicUsize = AtomicUsize::new(0);

/// The arguments that `main` gets in C, without the program's name.
///
/// # Safety
/// `words` must point to `count` strings that end with a nul.
pub unsafe fn arguments(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or(0);
    ARGUMENTS.store(count, Ordering::Relaxed);
    // SAFETY: the caller guarantees it.
    let word = |index| unsafe { CStr::from_ptr(*words.add(index)) };
    (1..count).map(|index| OsStr::from_bytes(word(index).to_bytes()).to_owned()).collect()
}

// ---- What the caller gave us -------------------------------------------------------------------

/// What premain inherited and changed for itself, and the application gets back. Descriptors need
/// no restoring, because premain's own are close-on-exec.
#[derive(Clone, Copy)]
pub struct Inherited {
    mask: libc::sigset_t,
    child_ended: Disposition,
    broken_pipe: Disposition,
}

/// What a signal does, as far as `execve` preserves it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disposition {
    Default,
    Ignored,
}

impl Inherited {
    /// Blocks every signal, so that none is lost from here on; makes children waitable even if the
    /// parent process ignored SIGCHLD; and opens closed standard streams. Must be called first.
    pub fn capture() -> Inherited {
        let mask = set_mask(&every_signal());
        let child_ended = disposition(libc::SIGCHLD);
        set_disposition(libc::SIGCHLD, Disposition::Default);
        hold_closed_streams();
        Inherited { mask, child_ended, broken_pipe: disposition(libc::SIGPIPE) }
    }

    /// Whether the parent process ignored this signal, as `nohup` does with SIGHUP.
    pub fn ignores(&self, signal: c_int) -> bool {
        disposition(signal) == Disposition::Ignored
    }

    /// Restores everything, runs `exec`, and undoes it if `exec` fails, that is, returns.
    ///
    /// A signal that is still pending is delivered in here with its default action: a TERM that the
    /// boot no longer saw ends this process instead of getting lost.
    pub(crate) fn restored<T>(&self, exec: impl FnOnce() -> T) -> T {
        // Logging to a closed pipe may have left a SIGPIPE pending; ignoring a signal discards it.
        set_disposition(libc::SIGPIPE, Disposition::Ignored);
        set_disposition(libc::SIGPIPE, self.broken_pipe);
        set_disposition(libc::SIGCHLD, self.child_ended);
        set_mask(&self.mask);

        let failure = exec();

        set_mask(&every_signal());
        set_disposition(libc::SIGCHLD, Disposition::Default);
        failure
    }
}

/// Registers a signal descriptor with the tokio runtime.
///
/// # Errors
/// That of `epoll_ctl`.
pub(crate) fn watch(descriptor: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    // SAFETY: the descriptor is open, and the returned value owns it, so nothing closes it earlier.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}

/// Opens the root directory, which always exists, as each of the descriptors 0 to 2 that is closed.
/// Otherwise a file or connection of premain's would get that number and receive output that is not
/// meant for it. Reading and writing fail as on a closed descriptor, and close-on-exec closes it
/// again for the application.
fn hold_closed_streams() {
    for fd in 0..=2 {
        // SAFETY: it only takes a number; no memory is involved.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
            // SAFETY: the path is a constant that ends with a nul. `fd` is the lowest free number.
            unsafe { libc::open(c"/".as_ptr(), flags) };
        }
    }
}

// ---- Signals -----------------------------------------------------------------------------------

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) signal: Signal,
    /// Whether this process sent it, or caused it by writing to a broken pipe.
    pub(crate) from_self: bool,
}

/// Waits for the next signal. Returns `None` after `timeout`, and sometimes earlier.
///
/// A fault of this process is never returned: the kernel does not queue a blocked SIGSEGV that an
/// instruction caused, but kills the process. A SIGSEGV that is returned was sent by a process.
pub(crate) fn next_signal(timeout: Option<Duration>) -> Option<Received> {
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the set is initialised, `info` is writable, and `timeout` is null or points to a
    // timespec that outlives the call.
    let number = unsafe { libc::sigtimedwait(&every_signal(), info.as_mut_ptr(), timeout) };
    let signal = Signal::from_number(number)?;
    // SAFETY: the result is positive, so the kernel filled `info`; `si_pid` is a plain number in
    // every variant of it, and it is only used where it is a pid.
    let (code, sender) =
        unsafe { (info.assume_init_ref().si_code, info.assume_init_ref().si_pid()) };
    let from_self = code == libc::SI_USER && Pid::from_raw(sender) == Pid::this();
    Some(Received { signal, from_self })
}

/// Where to send a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    Process(Pid),
    Group(Pid),
    /// Every process that this one may signal, except itself and PID 1.
    All,
}

/// Sends a signal.
///
/// # Errors
/// `ESRCH` if there is no such process, `EPERM` if it belongs to another user.
pub(crate) fn send(signal: Signal, to: Recipient) -> nix::Result<()> {
    let to = match to {
        Recipient::Process(pid) => pid.as_raw(),
        Recipient::Group(leader) => -leader.as_raw(),
        Recipient::All => -1,
    };
    // SAFETY: it takes two numbers; no memory is involved.
    Errno::result(unsafe { libc::kill(to, signal.number()) }).map(drop)
}

/// Stops this process by sending `signal` to `to`, of which it is a part. Returns `true` once it was
/// continued, with that CONT still pending; `false` at once where the kernel does not stop it,
/// because its process group is orphaned: no shell could continue it.
pub(crate) fn stop_by(signal: Signal, to: Recipient) -> bool {
    // It has been continued already; a stop would discard that CONT.
    if is_pending(Signal::CONT) {
        return true;
    }
    let _ = send(signal, to);
    let set = set_of(signal);
    // SAFETY: the set is initialised. The signal, which was blocked until now, is delivered before
    // the call that unblocks it returns. It is one that has no handler.
    unsafe {
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
        libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
    }
    is_pending(Signal::CONT)
}

fn is_pending(signal: Signal) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigpending` initialises the set.
    unsafe {
        libc::sigpending(set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), signal.number()) == 1
    }
}

fn every_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigfillset` initialises the set it is given.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn set_of(signal: Signal) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set it is given.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal.number());
        set.assume_init()
    }
}

/// Sets the signal mask and returns the previous one.
fn set_mask(mask: &libc::sigset_t) -> libc::sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are valid for the call, which cannot fail with a valid `how` and
    // initialises `before`.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, mask, before.as_mut_ptr());
        before.assume_init()
    }
}

fn disposition(signal: c_int) -> Disposition {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: it only reads; `action` is writable, and zeros, which mean the default, are a valid
    // value in case the call fails.
    let action = unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    match action.sa_sigaction {
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Default,
    }
}

fn set_disposition(signal: c_int, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignored => libc::SIG_IGN,
    };
    // SAFETY: both values are the kernel's own; no function becomes a handler.
    unsafe { libc::signal(signal, handler) };
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        // It is below 1,000,000,000, which fits on every platform.
        tv_nsec: duration.subsec_nanos() as _,
    }
}

// ---- Children ----------------------------------------------------------------------------------

/// In which of the two processes [`fork`] returned.
pub(crate) enum Forked {
    /// In the calling process; with the pid of the child.
    Parent(Pid),
    /// In the new process.
    Child,
}

/// Creates a child process.
///
/// # Errors
/// `EAGAIN` at the limit of processes, `ENOMEM`.
pub(crate) fn fork() -> nix::Result<Forked> {
    // SAFETY: premain forks before it starts the runtime of the boot, while it has one thread only,
    // so no thread that the child lacks can hold a lock.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::last()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid::from_raw(pid))),
    }
}

/// Runs `child` in a new process that shares this one's memory. Returns when the child has executed
/// another program, or has exited with the status that `child` returned.
///
/// vfork(2) semantics: no memory is copied, which saves a quarter of the time of a start; but this
/// thread is suspended until then, so `child` must call `execve` soon.
///
/// # Errors
/// `EAGAIN` at the limit of processes, `ENOMEM`.
pub(crate) fn fork_and_wait_for_exec(child: impl FnOnce() -> u8) -> nix::Result<Pid> {
    // The kernel only provides the pages that are used.
    let mut stack = vec![0; 512 * 1024];
    let mut child = Some(child);
    let run = Box::new(|| child.take().map_or(0, |child| isize::from(child()))) as CloneCb<'_>;
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: the calling thread sleeps until the child no longer uses its memory, so the two never
    // access it at once, and everything borrowed outlives its use. For other threads (a boot's name
    // lookups) the child takes the place of this thread: the C library's locks still work. The
    // child has its own stack of 512 kB, of which launching a program takes a tenth.
    unsafe { nix::sched::clone(run, &mut stack, flags, Some(libc::SIGCHLD)) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(Signal),
}

/// The result of [`reap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This child has ended.
    Ended(Pid, End),
    /// This signal has stopped this child.
    Stopped(Pid, Signal),
    /// No child has changed.
    Nothing,
    /// There are no children.
    NoChildren,
}

/// Reaps this child, or any, if one has ended or was stopped. Does not wait.
pub(crate) fn reap(child: Option<Pid>) -> Reaped {
    let child = child.map_or(-1, Pid::as_raw);
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let pid = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG | libc::WUNTRACED) };
        match pid {
            0 => return Reaped::Nothing,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Reaped::NoChildren,
            pid if libc::WIFSTOPPED(status) => {
                let signal = Signal::from_number(libc::WSTOPSIG(status)).unwrap_or(Signal::STOP);
                return Reaped::Stopped(Pid::from_raw(pid), signal);
            }
            pid => return Reaped::Ended(Pid::from_raw(pid), end(status)),
        }
    }
}

/// Waits for the end of a child and reaps it. Only for one that has begun to exit.
pub(crate) fn wait_for(child: Pid) {
    // SAFETY: a null pointer stands for a status that is not asked for.
    while unsafe { libc::waitpid(child.as_raw(), ptr::null_mut(), 0) } == -1
        && Errno::last() == Errno::EINTR
    {}
}

/// The child that [`reap`] would report next; it is not reaped.
pub(crate) fn next_to_reap() -> Option<Pid> {
    let options = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` is writable; zeros, which it keeps if no child has changed, are a valid value
    // of it, and this call fills `si_pid`.
    let pid = unsafe {
        libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options);
        info.assume_init_ref().si_pid()
    };
    (pid > 0).then(|| Pid::from_raw(pid))
}

fn end(status: c_int) -> End {
    match Signal::from_number(if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }) {
        Some(signal) => End::Killed(signal),
        // An exit status has eight bits.
        None => End::Exited(libc::WEXITSTATUS(status) as u8),
    }
}

// ---- This process ------------------------------------------------------------------------------

/// Standard input, output and error.
// SAFETY: all three are open after `Inherited::capture`, and premain never closes one.
pub(crate) const STANDARD_STREAMS: [BorrowedFd<'static>; 3] =
    unsafe { [BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)] };

/// Makes the kernel send `signal` to this process when its parent dies.
pub(crate) fn set_parent_death_signal(signal: Signal) {
    // SAFETY: it takes a number, and every signal number is valid.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.number()) };
}

/// Clears the capabilities that `execve` would preserve for a user that is not root: the inheritable
/// and the ambient ones.
///
/// # Errors
/// `EPERM` where a seccomp filter does not allow it.
pub(crate) fn drop_inheritable_capabilities() -> nix::Result<()> {
    const AMBIENT: c_int = libc::PR_CAP_AMBIENT;
    // SAFETY: numbers; no memory is involved.
    let cleared = unsafe { libc::prctl(AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // The layout of capget(2): the version 3 and this process; effective, permitted, inheritable.
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: both have the size that the kernel expects of version 3.
    let known = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) } == 0;
    if known && sets.iter().any(|set| set[2] != 0) {
        for set in &mut sets {
            set[2] = 0;
        }
        // SAFETY: as above. Where it is forbidden, inheritable capabilities are still worth nothing
        // without a file that grants them.
        unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    }
    match Errno::result(cleared) {
        // EINVAL: Linux before 4.3 knows no ambient capabilities.
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets the supplementary groups, the group and the user of this thread, which is all of the
/// process once it calls `execve`. The C library's functions would change the other threads too,
/// which in a child of [`fork_and_wait_for_exec`] are those of its parent.
///
/// # Errors
/// `EPERM` without the capabilities SETGID and SETUID.
pub(crate) fn set_user(uid: u32, gid: u32, groups: &[u32]) -> nix::Result<()> {
    // The groups come first, because only root can change them.
    // SAFETY: the groups are readable, and as many as it says.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Closes every descriptor from `first` on, also those that a value in this process still owns: the
/// caller must not use any of them afterwards.
pub(crate) fn close_from(first: u32) {
    // SAFETY: it takes three numbers. Using a closed descriptor is an EBADF, not a memory error.
    let failed = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == -1;
    if failed {
        // Linux before 5.9, or a seccomp filter that does not know the call: close them one by one,
        // up to a bound that no caller's leaked descriptors reach.
        let open_files = nix::sys::resource::Resource::RLIMIT_NOFILE;
        let limit = nix::sys::resource::getrlimit(open_files).map_or(1024, |(soft, _)| soft);
        for fd in first as c_int..limit.min(65_536) as c_int {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// Returns free memory to the kernel.
pub(crate) fn trim_memory() {
    // SAFETY: the allocator's own function, which only touches free memory.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Edits in place the strings that the kernel shows as `/proc/PID/cmdline` and `/proc/PID/environ`.
/// Must be called while this process has one thread, and after what is needed of them was copied.
pub(crate) fn edit_visible_strings(argument: impl Fn(&mut [u8]), variable: impl Fn(&mut [u8])) {
    unsafe extern "C" {
        static environ: *mut *mut c_char;
    }
    let arguments = ARGUMENTS.load(Ordering::Relaxed);
    // SAFETY: when a process starts, `environ` points to the array that the kernel has put after
    // the arguments (System V ABI: the arguments, a null, the variables, a null), and premain never
    // sets a variable in its own environment, which would move it. The strings are in writable
    // memory of this process, end with a nul and do not overlap, and std copies them on every
    // access, so it holds no reference into them.
    unsafe {
        if environ.is_null() {
            return;
        }
        for index in 0..arguments {
            edit_string(*environ.sub(arguments + 1).add(index), &argument);
        }
        let mut next = environ;
        while !(*next).is_null() {
            edit_string(*next, &variable);
            next = next.add(1);
        }
    }
}

/// # Safety
/// `text` must be null, or a writable string that ends with a nul and that nothing else refers to.
unsafe fn edit_string(text: *mut c_char, edit: impl Fn(&mut [u8])) {
    if !text.is_null() {
        // SAFETY: the caller guarantees it; the nul itself is left out.
        edit(unsafe { std::slice::from_raw_parts_mut(text.cast(), libc::strlen(text)) });
    }
}

/// Writes as much as possible without blocking, and without changing the flags of the descriptor,
/// which other processes share.
///
/// # Errors
/// `EAGAIN` if it would block, `EOPNOTSUPP` if this kind of file does not support the question.
pub(crate) fn write_without_waiting(fd: BorrowedFd, bytes: &[u8]) -> nix::Result<usize> {
    let buffer = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one buffer of readable bytes, which writing does not change; offset -1 stands for the
    // current position.
    let written = unsafe { libc::pwritev2(fd.as_raw_fd(), &buffer, 1, -1, libc::RWF_NOWAIT) };
    Errno::result(written).map(isize::unsigned_abs)
}
