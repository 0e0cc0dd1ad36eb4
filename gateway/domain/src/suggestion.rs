//! Finds the name that a client probably meant. Pure.

use strsim::damerau_levenshtein;

/// Bytes of a name that is compared: comparing takes time, and no known name is longer.
const MAX_BYTES: usize = 64;
/// Letters that an abbreviation has at least, like `app` for `appId`.
const MIN_ABBREVIATION: usize = 3;

/// The known name that is most like the given one, if one is like it. Case, `_` and `-` make no difference.
#[must_use]
pub fn likely<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let ranked = known.into_iter().filter_map(|name| Some((difference(given, name)?, name)));
    ranked.min_by_key(|(difference, _)| *difference).map(|(_, name)| name)
}

/// The same as words that follow the unknown name: empty if no name is like it.
#[must_use]
pub fn did_you_mean<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    likely(given, known).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

/// Whether two names are the same but for case, `_` and `-`.
#[must_use]
pub fn is_same_name(one: &str, other: &str) -> bool {
    one.len() <= MAX_BYTES && plain(one) == plain(other)
}

/// The number of wrong letters, or `None` if the names have too little in common.
#[must_use]
pub fn difference(given: &str, known: &str) -> Option<usize> {
    if given.len().max(known.len()) > MAX_BYTES {
        return None;
    }
    let (given, known) = (plain(given), plain(known));
    let letters = known.chars().count();
    // A third of the letters may be wrong, two at most.
    let most = (letters / 3).min(2);
    let wrong = damerau_levenshtein(&given, &known);
    if wrong <= most {
        return Some(wrong);
    }
    let abbreviated = given.chars().count() >= MIN_ABBREVIATION && known.contains(&given);
    abbreviated.then_some(letters)
}

fn plain(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_written_otherwise_or_mistyped_is_found() {
        let known = ["appId", "inputs", "chatModelId", "webhookUrl", "dryRun", "status", "limit", "id"];
        for (given, meant) in [
            ("app_id", Some("appId")),
            ("app", Some("appId")),
            ("input", Some("inputs")),
            ("webhook", Some("webhookUrl")),
            ("webhook_url", Some("webhookUrl")),
            ("weebhokUrl", Some("webhookUrl")),
            ("dryrun", Some("dryRun")),
            ("dry-run", Some("dryRun")),
            ("stauts", Some("status")),
            ("lmit", Some("limit")),
            ("model", Some("chatModelId")),
            ("colour", None),
            ("x", None),
            ("", None),
            ("___", None),
            ("inputsinputs", None),
        ] {
            assert_eq!(likely(given, known), meant, "{given}");
        }
        assert_eq!(likely(&"inputs".repeat(100_000), known), None);
        assert_eq!(did_you_mean("lmit", known), " (did you mean \"limit\"?)");
        assert!(is_same_name("Idempotency-Key", "idempotencyKey"));
    }
}
