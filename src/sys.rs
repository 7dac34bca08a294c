//! The system calls that no safe crate offers the way an init needs them, and nothing else.
//!
//! This is the one module with `unsafe` in it; every other one forbids it. Signals are plain
//! numbers here: nix's typed API ends at 31, and 34 to 64 have to be forwarded like any other.

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

/// Has the C library call `$run` with the arguments, its own name aside, and ends the process with
/// the [`Exit`](crate::exit::Exit) that it returns.
///
/// In the place of a `fn main`, before which Rust's runtime would start. That ignores SIGPIPE, which
/// the application would inherit; aborts where a standard stream is closed and there is no
/// `/dev/null`; and takes as long as everything else that premain does before its fork.
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

/// What a `main` in C gets, its own name aside.
///
/// # Safety
/// `words` points to `count` strings that end with a nul.
pub unsafe fn arguments(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or(0);
    ARGUMENTS.store(count, Ordering::Relaxed);
    // SAFETY: as the caller promised.
    let word = |index| unsafe { CStr::from_ptr(*words.add(index)) };
    (1..count).map(|index| OsStr::from_bytes(word(index).to_bytes()).to_owned()).collect()
}

// ---- What the caller gave us -------------------------------------------------------------------

/// What this process found when it was started and changed for itself: the application gets all of
/// it back. Descriptors are not in it because they restore themselves: ours are close-on-exec.
#[derive(Clone, Copy)]
pub struct Inherited {
    mask: libc::sigset_t,
    child_ended: Disposition,
    broken_pipe: Disposition,
}

/// What a signal does: all that an `execve` passes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disposition {
    Default,
    Ignored,
}

impl Inherited {
    /// Blocks every signal, so that none is lost from here on, makes children waitable even for a
    /// caller that ignored SIGCHLD, and puts something in the place of closed standard streams. To
    /// be the first thing that happens.
    pub fn capture() -> Inherited {
        let mask = set_mask(&every_signal());
        let child_ended = disposition(libc::SIGCHLD);
        set_disposition(libc::SIGCHLD, Disposition::Default);
        hold_closed_streams();
        Inherited { mask, child_ended, broken_pipe: disposition(libc::SIGPIPE) }
    }

    /// Whether the caller ignored this signal, as `nohup` does with SIGHUP.
    pub fn ignores(&self, signal: c_int) -> bool {
        disposition(signal) == Disposition::Ignored
    }

    /// Puts everything back while `exec` runs, which returns only if it failed.
    ///
    /// A signal that came meanwhile is delivered in here, with its default effect: a TERM that the
    /// boot did not see anymore ends this process instead of being swallowed.
    pub fn restored<T>(&self, exec: impl FnOnce() -> T) -> T {
        // A log line to a closed pipe has left a SIGPIPE pending. Ignoring a signal drops it.
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

/// Lets the runtime watch for signals.
///
/// # Errors
/// The runtime has no room for it.
pub fn watch(descriptor: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    // SAFETY: the descriptor is open, and what is returned owns it, so nothing can close it before.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}

/// Opens the root folder, which is everywhere, in the place of every closed one of descriptors 0
/// to 2, lest a file or a connection of ours lands there and gets somebody's output. Reading and
/// writing fail as they would on a closed descriptor, and close-on-exec closes it again for the
/// application.
fn hold_closed_streams() {
    for fd in 0..=2 {
        // SAFETY: asks about a number; there is no memory involved.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
            // SAFETY: the path is a constant that ends with a nul. The lowest free number is `fd`.
            unsafe { libc::open(c"/".as_ptr(), flags) };
        }
    }
}

// ---- Signals -----------------------------------------------------------------------------------

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which one.
    pub signal: Signal,
    /// This process sent it, or caused it by writing to a broken pipe.
    pub own: bool,
}

/// Takes the next pending signal; `None` when `patience` is over first, or for no reason at all.
///
/// A fault of this very process never comes out here: the kernel does not queue a blocked SIGSEGV
/// that an instruction caused but kills with it. What does come out was sent by somebody.
pub fn next_signal(patience: Option<Duration>) -> Option<Received> {
    let patience = patience.map(timespec);
    let patience = patience.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the set is initialised, `info` is writable, and `patience` is null or points to a
    // timespec that outlives the call.
    let number = unsafe { libc::sigtimedwait(&every_signal(), info.as_mut_ptr(), patience) };
    let signal = Signal::from_number(number)?;
    // SAFETY: a positive result says that the kernel filled `info`; `si_pid` is a plain number in
    // every variant of it, and it is only looked at where it is a pid.
    let (code, sender) =
        unsafe { (info.assume_init_ref().si_code, info.assume_init_ref().si_pid()) };
    let own = code == libc::SI_USER && Pid::from_raw(sender) == Pid::this();
    Some(Received { signal, own })
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// One process.
    Process(Pid),
    /// A process group.
    Group(Pid),
    /// Every process that this one may signal, but itself and PID 1.
    Everyone,
}

/// Sends a signal.
///
/// # Errors
/// ESRCH, EPERM.
pub fn send(signal: Signal, to: Recipient) -> nix::Result<()> {
    let to = match to {
        Recipient::Process(pid) => pid.as_raw(),
        Recipient::Group(leader) => -leader.as_raw(),
        Recipient::Everyone => -1,
    };
    // SAFETY: two numbers.
    Errno::result(unsafe { libc::kill(to, signal.number()) }).map(drop)
}

/// Lets `signal` act on this process as if nobody had blocked or caught it: for one that stops, it
/// returns when the process was continued, or at once where the kernel lets nobody be stopped.
pub fn suffer(signal: Signal) {
    let set = set_of(signal);
    // SAFETY: the set is initialised. `raise` is for this thread, the only one, and the signal is
    // delivered before the call that unblocks it returns.
    unsafe {
        libc::raise(signal.number());
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
        libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
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

/// Sets the signal mask; the one before it.
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
    // SAFETY: asks only; `action` is writable, and zeros, which stand for the default, are a valid
    // value should the call fail.
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
    // SAFETY: no function of ours becomes a handler.
    unsafe { libc::signal(signal, handler) };
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        // Below 1,000,000,000: it fits wherever this compiles.
        tv_nsec: duration.subsec_nanos() as _,
    }
}

// ---- Children ----------------------------------------------------------------------------------

/// Which of the two processes returned from [`fork`].
pub enum Forked {
    /// The one that called it; this is the new one.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Forks.
///
/// # Errors
/// No more processes, or no memory.
pub fn fork() -> nix::Result<Forked> {
    // SAFETY: a process has one thread until somebody starts another. premain forks before it
    // starts the runtime of the boot, so no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::last()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid::from_raw(pid))),
    }
}

/// Runs `child` in a new process that borrows this one's memory, and returns when it has executed
/// another program, or has ended with the status that `child` returned.
///
/// This is vfork(2): nothing is copied that the `execve` would throw away, which is a quarter of
/// what a start takes. For a child that gets there straight away: meanwhile nobody is here.
///
/// # Errors
/// No more processes, or no memory.
pub fn fork_and_wait_for_exec(child: impl FnOnce() -> u8) -> nix::Result<Pid> {
    // Only what is touched of it comes into being.
    let mut stack = vec![0; 512 * 1024];
    let mut child = Some(child);
    let run = Box::new(|| child.take().map_or(0, |child| isize::from(child()))) as CloneCb<'_>;
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: the thread that called this sleeps until the child is done with its memory, so that
    // nothing is accessed by two, and everything borrowed outlives its use. If there are others (a
    // boot's look-ups of names), the child is for them what this thread was: the C library's locks
    // hold. The child has a stack of its own, 512 kB, of which launching a program takes a tenth.
    unsafe { nix::sched::clone(run, &mut stack, flags, Some(libc::SIGCHLD)) }
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It called `exit`.
    Exited(u8),
    /// A signal killed it.
    Killed(Signal),
    /// A signal stopped it; it lives.
    Stopped,
}

/// The answer of [`reap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// This child changed; if it ended, it is gone now.
    Child(Pid, Change),
    /// There are children, and nothing new about them.
    Nothing,
    /// There are no children.
    Childless,
}

/// Asks about this child, or about any, without waiting.
pub fn reap(which: Option<Pid>) -> Reaped {
    let which = which.map_or(-1, Pid::as_raw);
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let pid = unsafe { libc::waitpid(which, &mut status, libc::WNOHANG | libc::WUNTRACED) };
        match pid {
            0 => return Reaped::Nothing,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Reaped::Childless,
            pid => return Reaped::Child(Pid::from_raw(pid), change(status)),
        }
    }
}

/// A child that [`reap`] would tell about, still unreaped afterwards.
pub fn next_to_reap() -> Option<Pid> {
    let options = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` is writable; zeros, which it keeps if there is nothing to tell, are a valid
    // value of it, and `si_pid` is what this call fills.
    let pid = unsafe {
        libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options);
        info.assume_init_ref().si_pid()
    };
    (pid > 0).then(|| Pid::from_raw(pid))
}

fn change(status: c_int) -> Change {
    if libc::WIFSTOPPED(status) {
        return Change::Stopped;
    }
    match Signal::from_number(if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }) {
        Some(signal) => Change::Killed(signal),
        // An exit status has eight bits.
        None => Change::Exited(libc::WEXITSTATUS(status) as u8),
    }
}

// ---- This process ------------------------------------------------------------------------------

/// Standard input, output and error.
// SAFETY: all three are open from `Inherited::capture` on, and nothing in premain closes one.
pub const STANDARD_STREAMS: [BorrowedFd<'static>; 3] =
    unsafe { [BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)] };

/// Has `signal` sent to this process when its parent dies.
pub fn set_parent_death_signal(signal: Signal) {
    // SAFETY: a number; every signal number is allowed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.number()) };
}

/// Closes every descriptor from `first` on. For a process that owns none there: nothing here
/// checks who still uses one.
pub fn close_from(first: u32) {
    // SAFETY: three numbers; that nobody uses these descriptors anymore is the caller's promise,
    // and a broken promise is an EBADF, not a broken memory.
    let refused = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == -1;
    if refused {
        // Before Linux 5.9, or a seccomp filter that does not know it. One by one then; beyond the
        // bound nobody leaks anything.
        let open_files = nix::sys::resource::Resource::RLIMIT_NOFILE;
        let limit = nix::sys::resource::getrlimit(open_files).map_or(1024, |(soft, _)| soft);
        for fd in first as c_int..limit.min(65_536) as c_int {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// Gives memory that is free back to the kernel.
pub fn trim_memory() {
    // SAFETY: the allocator's own function, which touches only what is free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Lets `edit` change, in place, the argument and environment strings that the kernel shows as
/// `/proc/PID/cmdline` and `/proc/PID/environ`. To be called while nobody else looks at them: what
/// is still needed of them has been copied.
pub fn edit_visible_strings(argument: impl Fn(&mut [u8]), variable: impl Fn(&mut [u8])) {
    unsafe extern "C" {
        static environ: *mut *mut c_char;
    }
    let arguments = ARGUMENTS.load(Ordering::Relaxed);
    // SAFETY: at the start of a process `environ` points to the array that the kernel has put
    // behind the one of the arguments (System V ABI: the arguments, a null, the variables, a null),
    // and premain never sets a variable of its own, which would move it. The strings are in
    // writable memory of this process, end with a nul, do not overlap, and std, which copies them
    // whenever it is asked, holds no reference into them.
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
/// `text` is null, or a string that ends with a nul, may be written to, and is nobody else's.
unsafe fn edit_string(text: *mut c_char, edit: impl Fn(&mut [u8])) {
    if !text.is_null() {
        // SAFETY: as the caller promised; the nul itself is left out.
        edit(unsafe { std::slice::from_raw_parts_mut(text.cast(), libc::strlen(text)) });
    }
}

/// Writes what can be written without waiting, to a descriptor that others share and that must
/// therefore keep its flags.
///
/// # Errors
/// EAGAIN: it would have to wait. EOPNOTSUPP: this kind of file cannot tell.
pub fn write_without_waiting(fd: BorrowedFd, bytes: &[u8]) -> nix::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one part that points to readable bytes, which writing leaves alone; offset -1 stands
    // for "where the file is".
    let written = unsafe { libc::pwritev2(fd.as_raw_fd(), &part, 1, -1, libc::RWF_NOWAIT) };
    Errno::result(written).map(isize::unsigned_abs)
}
