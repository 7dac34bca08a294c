//! Finds the name that a mistyped name most likely stands for.

/// The name that `given` most likely means: one that is spelled almost like it, otherwise the one
/// with the longest common beginning.
pub(super) fn nearest<'a>(
    given: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let almost = almost(given, names.clone());
    let common = |name: &&str| {
        let pairs = given.chars().zip(name.chars());
        pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    almost.or_else(|| names.max_by_key(common).filter(|name| common(name) >= 4))
}

/// The name of a subcommand that `given` most likely means: it is spelled almost like it, or one of
/// them begins with the other. Stricter than [`nearest`], because `given` may be a program's name.
pub(super) fn nearest_subcommand<'a>(
    given: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    almost(given, names.clone()).or_else(|| {
        names.find(|name| {
            (name.len() > 4 && given.starts_with(name))
                || (given.len() >= 4 && name.starts_with(given))
        })
    })
}

/// The name that `given` is most similar to, if at most every third letter is a mistake.
fn almost<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = names.map(|name| (mistakes(given, name), name)).min()?;
    (nearest.0 <= given.chars().count() / 3).then_some(nearest.1)
}

/// How many letters to add, drop or change from one spelling to the other.
pub(super) fn mistakes(given: &str, meant: &str) -> usize {
    let mut row: Vec<usize> = (0..=meant.chars().count()).collect();
    for (done, a) in given.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], done + 1);
        for (at, b) in meant.chars().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[meant.chars().count()]
}
