//! drizzle-kit's snapshots of the schema, which `premain new` continues.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use crate::migrate::formats::checksum::uuid;
use crate::migrate::formats::directory::read_metadata;
use crate::migrate::source::error::SourceError;

/// A copy of the last of these snapshots with a new id, as the successor of all that have no successor yet; `None` if no
/// snapshot has an id.
///
/// Only the ids in the text are changed: git would show another order of the keys as a change.
pub(crate) fn continued(snapshots: &[PathBuf]) -> Result<Option<String>, SourceError> {
    let mut leaves: Vec<String> = Vec::new();
    let mut last = None;
    for path in snapshots.iter().filter(|path| path.is_file()) {
        let text = read_metadata(path)?;
        let malformed = |why: String| {
            SourceError::malformed(
                path,
                format!("it is not a snapshot as drizzle-kit writes it: {why}"),
            )
        };
        let Links { id, before, all_before } =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let Some(id) = id else { return Ok(None) };
        leaves.retain(|leaf| Some(leaf) != before.as_ref() && !all_before.contains(leaf));
        leaves.push(id.clone());
        last = Some((text, id, before, malformed("it has no prevIds".to_owned())));
    }
    let Some((text, id, before, misplaced)) = last else { return Ok(None) };
    let quoted = |id: &str| format!("\"{id}\"");
    let new = uuid().map_err(|error| SourceError::Unreadable {
        path: PathBuf::from("/dev/urandom"),
        source: io::Error::other(error.to_string()),
    })?;
    let text = text.replacen(&quoted(&id), &quoted(&new), 1);
    if let Some(before) = before {
        return Ok(Some(text.replacen(&quoted(&before), &quoted(&id), 1)));
    }
    let at = text.find("\"prevIds\"").unwrap_or(text.len());
    let Some((begin, end)) = text[at..].find('[').zip(text[at..].find(']')) else {
        return Err(misplaced);
    };
    let leaves: Vec<_> = leaves.iter().map(|leaf| format!("\n    \"{leaf}\"")).collect();
    let leaves = leaves.join(",");
    Ok(Some(format!("{}[{leaves}\n  {}", &text[..at + begin], &text[at + end..])))
}

/// The ids that link a snapshot to the ones before it.
#[derive(Deserialize)]
struct Links {
    id: Option<String>,
    /// Drizzle before 1.0.
    #[serde(rename = "prevId")]
    before: Option<String>,
    /// Drizzle from 1.0 on.
    #[serde(default, rename = "prevIds")]
    all_before: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn in_drizzle_1_a_snapshot_follows_all_leaves() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let snapshots = [
            write("1", "{\"id\": \"one\", \"prevIds\": [\"0\"]}"),
            write("2", "{\"id\": \"two\", \"prevIds\": [\"one\"]}"),
            write("3", "{\"version\": \"8\", \"id\": \"three\", \"prevIds\": [\"one\"]}"),
        ];
        let text = continued(&snapshots).unwrap().unwrap();
        let links: Links = serde_json::from_str(&text).unwrap();
        assert_eq!(links.all_before, ["two", "three"]);
        assert_ne!(links.id.as_deref(), Some("three"));
    }
}
