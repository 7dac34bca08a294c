#![allow(unsafe_code)]
pub struct Inherited;
impl Inherited { pub fn ignores(&self, _s: i32) -> bool { false } }
/// Lets the runtime watch a signal descriptor.
pub fn watch(descriptor: nix::sys::signalfd::SignalFd) -> std::io::Result<tokio::io::unix::AsyncFd<nix::sys::signalfd::SignalFd>> {
    // SAFETY: the descriptor is open, and owned by what is returned.
    unsafe { tokio::io::unix::AsyncFd::register(descriptor) }.map_err(std::io::Error::from)
}
