//! Finds the name that a mistyped name most likely stands for.

/// The name that `given` most likely means: one that is spelled almost like it, otherwise the one
/// with the longest common beginning.
pub(super) fn nearest<'a>(
    given: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let mistakes = |name: &&str| mistakes(given, name);
    let almost = names.clone().min_by_key(mistakes);
    let almost = almost.filter(|name| mistakes(name) <= given.chars().count() / 3);
    let common = |name: &&str| {
        let pairs = given.chars().zip(name.chars());
        pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    almost.or_else(|| names.max_by_key(common).filter(|name| common(name) >= 4))
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
