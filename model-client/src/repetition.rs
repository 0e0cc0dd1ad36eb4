//! Detects a text whose end repeats one passage. Small models write such texts without end. Pure.

/// Longer passages are not detected.
const MAX_PASSAGE_BYTES: usize = 512;
/// Fewer repetitions may be intended.
const MIN_REPETITIONS: usize = 12;
/// Data and drawings (`0, 0, 0`, `-----`) repeat without words. Their repeated end must be this many times
/// longer.
const FACTOR_WITHOUT_WORDS: usize = 8;

/// The passage, if the last `most` bytes of the text repeat it.
#[must_use]
pub fn passage(text: &str, most: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let tail = bytes.get(bytes.len().checked_sub(most)?..)?;
    let period = period(tail);
    if period > MAX_PASSAGE_BYTES || tail.len() / period < MIN_REPETITIONS {
        return None;
    }
    let passage = text.get(text.ceil_char_boundary(text.len() - period)..)?;
    // One word may be data, such as `null`. Chinese has no blanks.
    let has_words = passage.split_whitespace().count() > 1 || !passage.is_ascii();
    if passage.chars().any(char::is_alphabetic) && has_words {
        return Some(passage);
    }
    let longer = bytes.get(bytes.len().checked_sub(most * FACTOR_WITHOUT_WORDS)?..)?;
    let repeats = longer.iter().zip(&longer[period..]).all(|(byte, next)| byte == next);
    repeats.then_some(passage)
}

/// The smallest distance at which the bytes repeat themselves. It uses the failure function of Knuth, Morris
/// and Pratt.
fn period(bytes: &[u8]) -> usize {
    let mut failure = vec![0; bytes.len()];
    let mut length = 0;
    for at in 1..bytes.len() {
        while length > 0 && bytes[at] != bytes[length] {
            length = failure[length - 1];
        }
        length += usize::from(bytes[at] == bytes[length]);
        failure[at] = length;
    }
    (bytes.len() - failure.last().copied().unwrap_or(0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_loop_is_one() {
        let said = |unit: &str, times: usize| format!("Well. {}", unit.repeat(times));
        assert_eq!(passage(&said("I am a model. ", 100), 1024).map(str::len), Some("I am a model. ".len()));
        assert_eq!(passage(&said("I am a model. ", 60), 1024), None, "too short");
        assert_eq!(passage(&said("ñandú ", 300), 1024).map(str::len), Some("ñandú ".len()));
        assert_eq!(passage(&said("0, ", 1000), 1024), None, "data");
        assert_eq!(passage(&said("null, ", 1000), 1024), None, "data");
        assert!(passage(&said("0, ", 4000), 1024).is_some());
        let counted = (0..400).map(|n| format!("Row {n}. ")).collect::<Vec<_>>().concat();
        assert_eq!(passage(&counted, 1024), None);
        assert_eq!(passage(&said(&"long ".repeat(60).replacen("long", "one", 1), 20), 1024), None, "3 times");
    }
}
