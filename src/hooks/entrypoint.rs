//! Finds the hooks in `/docker-entrypoint.d`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::command::Hook;

/// The directory where container images keep their start-up scripts.
pub(crate) const ENTRYPOINT: &str = "/docker-entrypoint.d";

/// The executables in `directory`, in version order. Other entries are ignored, with a warning
/// unless they are hidden.
///
/// # Errors
/// That of reading the directory.
pub(crate) fn executables(
    directory: &Path,
    warnings: &mut Vec<String>,
) -> std::io::Result<Vec<Hook>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    // Kubernetes mounts a ConfigMap with hidden directories beside the files: `..data`.
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_bytes().starts_with(b".")));
    paths.sort_by(|one, other| {
        let key = |path: &'_ Path| path.file_name().unwrap_or_default().to_owned();
        let (one, other) = (key(one), key(other));
        natural(one.as_bytes()).cmp(&natural(other.as_bytes())).then_with(|| one.cmp(&other))
    });
    let mut hooks = Vec::new();
    for path in paths {
        let name = path.display();
        let ignored = if path.is_dir() {
            Some("is a directory")
        } else if path.extension().is_some_and(|extension| extension == "envsh") {
            Some("needs a shell to source it (.envsh)")
        } else if access(&path, AccessFlags::X_OK).is_err() {
            Some("is not executable (chmod +x)")
        } else {
            None
        };
        match ignored {
            Some(why) => warnings.push(format!("{name} {why} and is ignored")),
            None => hooks.push(Hook { name: name.to_string(), words: vec![path.into()] }),
        }
    }
    Ok(hooks)
}

/// A key for the order of `sort -V`, which official images use: numbers count by their value.
fn natural(name: &[u8]) -> Vec<(usize, &[u8])> {
    let digits = u8::is_ascii_digit;
    name.chunk_by(|one, other| digits(one) == digits(other))
        .map(|part| match part.first().is_some_and(digits) {
            true => {
                let zeros = part.iter().take_while(|digit| **digit == b'0').count();
                (part.len() - zeros, &part[zeros..])
            }
            false => (usize::MAX, part),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = ["b", "10-a", "9-a", "010-b", "a2", "a10", "1"];
        names.sort_by(|one, other| natural(one.as_bytes()).cmp(&natural(other.as_bytes())));
        assert_eq!(names, ["1", "9-a", "10-a", "010-b", "a2", "a10", "b"]);
    }
}
