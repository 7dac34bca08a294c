//! Explains a SIGKILL that premain did not send: did the kernel run out of memory?

use std::fs;

/// Where the kernel counts the processes that it killed in this container: cgroup v2, and v1.
const COUNTERS: [&str; 2] =
    ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// The end of the sentence "… was killed" for a SIGKILL that premain did not send.
pub(super) fn hint() -> &'static str {
    let texts = COUNTERS.iter().filter_map(|path| fs::read_to_string(path).ok());
    match texts.filter_map(|text| kills(&text)).max() {
        None | Some(0) => " by a SIGKILL from outside",
        Some(_) => {
            " by a SIGKILL, and the kernel has killed processes of this container because it ran \
             out of memory: raise the container's memory limit, or let the application use less"
        }
    }
}

/// The number in the line `oom_kill 3` of a counter file.
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cgroup_versions_are_parsed() {
        assert_eq!(kills("low 0\nhigh 0\nmax 8\noom 1\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(kills("nonsense"), None);
    }
}
