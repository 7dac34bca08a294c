//! Signals the processes that an application leaves behind when it ends.

use std::collections::BTreeMap;
use std::fs;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::signal::Signal;
use crate::sys::{self, Recipient};

/// Sends `signal` to every process that is left of the application, whose pid was `application`.
pub(super) fn signal(signal: Signal, application: Pid) {
    // As PID 1, every other process in the namespace comes from the application.
    if Pid::this() == Pid::from_raw(1) {
        send(signal, Recipient::All);
        return;
    }
    // Otherwise there are processes that premain must not signal.
    match descendants() {
        Some(pids) => pids.into_iter().for_each(|pid| send(signal, Recipient::Process(pid))),
        // Without /proc we can only identify processes in the application's process group.
        None => send(signal, Recipient::Group(application)),
    }
}

fn send(signal: Signal, to: Recipient) {
    match sys::send(signal, to) {
        // ESRCH: it has already exited, which is what we wanted.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::debug!("sending {signal} to {to:?}: {error}"),
    }
}

/// Every descendant of this process; `None` without a /proc of this PID namespace.
fn descendants() -> Option<Vec<Pid>> {
    let this = Pid::this().as_raw();
    let shown = fs::read_link("/proc/self").ok()?;
    if shown.to_str()?.parse() != Ok(this) {
        return None;
    }
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let parent = pid.and_then(|pid| parent_in(&fs::read(format!("/proc/{pid}/stat")).ok()?));
        if let (Some(pid), Some(parent)) = (pid, parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&this).unwrap_or_default();
    let mut visited = 0;
    while let Some(pid) = found.get(visited) {
        found.extend(children.remove(pid).unwrap_or_default());
        visited += 1;
    }
    Some(found.into_iter().map(Pid::from_raw).collect())
}

/// The parent's pid in `/proc/PID/stat`: `7 (name) S 1 …`. The name may contain anything, even
/// `) S 1`, so it ends at the last parenthesis.
fn parent_in(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat[end + 1..].split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
    str::from_utf8(fields.nth(1)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_contain_anything() {
        assert_eq!(parent_in(b"7 (node) S 1 7 7 0 -1"), Some(1));
        assert_eq!(parent_in(b"7 (a) S 99 (b \xff) R 12 7 7"), Some(12));
        assert_eq!(parent_in(b""), None);
        assert_eq!(parent_in(b"7 (node)"), None);
    }

    #[test]
    fn only_descendants_are_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = descendants().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&Pid::from_raw(child.id().cast_signed())));
        assert!(!found.contains(&Pid::parent()) && !found.contains(&Pid::this()));
    }
}
