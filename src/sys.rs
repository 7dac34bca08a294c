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

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::config::Signal;

// ---- What the caller gave us -------------------------------------------------------------------

/// What this process found when it was started and changed for itself: the application gets all of
/// it back. Descriptors are not in it because they restore themselves: ours are close-on-exec.
#[derive(Clone, Copy)]
pub struct Inherited {
    mask: libc::sigset_t,
    child_ended: Disposition,
    broken_pipe: Disposition,
    launched: Option<SharedFlag>,
}

/// What a signal does: all that an `execve` passes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disposition {
    Default,
    Ignored,
}

/// Whether the caller ignored SIGPIPE. Rust's runtime ignores it before `main`, so it is read in
/// [`before_main`].
static BROKEN_PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// The C library calls what stands in this section before it calls `main`; so the functions of a
/// C program marked `constructor` work, in glibc and in musl, static or not.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Comes before Rust's runtime, which ignores SIGPIPE and gives every closed one of descriptors 0
/// to 2 a `/dev/null`, or aborts where there is none, as in a bare chroot. Ours is the root folder,
/// which is everywhere: reading and writing fail as they would on a closed descriptor, no later
/// `open` can land on it, and close-on-exec closes it again for the application.
extern "C" fn before_main() {
    let ignored = disposition(libc::SIGPIPE) == Disposition::Ignored;
    BROKEN_PIPE_WAS_IGNORED.store(ignored, Ordering::Relaxed);
    for fd in 0..=2 {
        // SAFETY: asks about a number; there is no memory involved.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
            // SAFETY: the path is a constant that ends with a nul. The lowest free number is `fd`.
            unsafe { libc::open(c"/".as_ptr(), flags) };
        }
    }
}

impl Inherited {
    /// Blocks every signal, so that none is lost from here on, and makes children waitable even
    /// for a caller that ignored SIGCHLD. To be the first statement of `main`.
    pub fn capture() -> Inherited {
        let mask = set_mask(&every_signal());
        let child_ended = disposition(libc::SIGCHLD);
        set_disposition(libc::SIGCHLD, Disposition::Default);
        let broken_pipe = match BROKEN_PIPE_WAS_IGNORED.load(Ordering::Relaxed) {
            true => Disposition::Ignored,
            false => Disposition::Default,
        };
        Inherited { mask, child_ended, broken_pipe, launched: None }
    }

    /// Whether the caller ignored this signal, as `nohup` does with SIGHUP.
    pub fn ignores(&self, signal: c_int) -> bool {
        disposition(signal) == Disposition::Ignored
    }

    /// Lets the parent know when [`Inherited::restored`] hands over to the application.
    pub fn announce(&mut self, launched: SharedFlag) {
        self.launched = Some(launched);
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
        self.launched.inspect(|flag| flag.set(true));

        let failure = exec();

        self.launched.inspect(|flag| flag.set(false));
        set_mask(&every_signal());
        set_disposition(libc::SIGCHLD, Disposition::Default);
        set_disposition(libc::SIGPIPE, Disposition::Ignored);
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

/// A bit that a process and the child it forks both see, until the child executes another program.
#[derive(Clone, Copy)]
pub struct SharedFlag(&'static AtomicBool);

impl SharedFlag {
    /// A flag that is not set.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> io::Result<SharedFlag> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let page =
            unsafe { libc::mmap(ptr::null_mut(), size_of::<AtomicBool>(), access, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is aligned to a page, holds zeros, which are a `false`, is never
        // unmapped, and is only ever used as this atomic, here and in the child.
        Ok(SharedFlag(unsafe { AtomicBool::from_ptr(page.cast()) }))
    }

    /// Sets or clears it.
    pub fn set(self, value: bool) {
        self.0.store(value, Ordering::Release);
    }

    /// Whether it is set.
    pub fn get(self) -> bool {
        self.0.load(Ordering::Acquire)
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
    nix::errno::Errno::result(unsafe { libc::kill(to, signal.number()) }).map(drop)
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
pub fn fork() -> io::Result<Forked> {
    // SAFETY: a process has one thread until somebody starts another. premain forks before it
    // starts the runtime of the boot, so no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid::from_raw(pid))),
    }
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

/// Asks about one child, without waiting.
pub fn reap() -> Reaped {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
        match pid {
            0 => return Reaped::Nothing,
            -1 if nix::errno::Errno::last() == nix::errno::Errno::EINTR => {}
            -1 => return Reaped::Childless,
            pid => return Reaped::Child(Pid::from_raw(pid), change(status)),
        }
    }
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
// SAFETY: all three are open from `before_main` on, and nothing in premain closes one.
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
        static environ: *mut *mut libc::c_char;
    }
    let arguments = std::env::args_os().len();
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
unsafe fn edit_string(text: *mut libc::c_char, edit: impl Fn(&mut [u8])) {
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
    nix::errno::Errno::result(written).map(isize::unsigned_abs)
}
