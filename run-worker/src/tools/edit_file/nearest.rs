//! Says where a text probably is that was not found: the place that differs only in white space, or else the
//! lines that are most alike. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Characters of a line that are compared.
const COMPARED: usize = 200;
/// Lines are alike if they share at least half of their pairs of characters.
const ALIKE: f64 = 0.5;
/// A place that differs only in white space is searched for if `old` has at most so many lines. Each line of
/// the file may be compared with each of them: more would take minutes in a large file of equal lines.
const MAX_NEAR_LINES: usize = 100;
/// Lines of the file that an error shows.
const MAX_SHOWN: usize = 12;
/// Lines before and after the nearest one.
const AROUND: usize = 2;
/// Characters of one shown line.
const MAX_LINE: usize = 150;

const AGAIN: &str = "`old` does not occur in the file; read the file again and copy the exact text.";

/// The error for a text that does not occur.
pub(super) fn not_found(text: &str, old: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if let Some((first, count)) = but_for_blanks(&lines, old) {
        let what = difference(&lines[first..first + count], old);
        return format!(
            "`old` does not occur in the file. It differs from this place only in {what}; copy it \
             exactly:\n{}",
            shown(&lines, first, count)
        );
    }
    let Some(nearest) = nearest(&lines, old) else { return AGAIN.to_owned() };
    let first = nearest.saturating_sub(AROUND);
    let count = old.lines().count().max(1) + 2 * AROUND;
    format!("{AGAIN} The nearest lines are:\n{}", shown(&lines, first, count))
}

fn shown(lines: &[&str], first: usize, count: usize) -> String {
    let mut shown = String::new();
    let of_place = lines.iter().enumerate().skip(first).take(count);
    for (at, line) in of_place.take(MAX_SHOWN) {
        let line: String = line.chars().take(MAX_LINE).collect();
        let _ = writeln!(shown, "{}: {line}", at + 1);
    }
    shown
}

/// The lines that are equal but for blanks: the first one, and how many.
fn but_for_blanks(lines: &[&str], old: &str) -> Option<(usize, usize)> {
    let squeeze = |line: &str| line.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let filled = |line: &String| !line.is_empty();
    if old.lines().nth(MAX_NEAR_LINES).is_some() {
        return None;
    }
    let wanted: Vec<String> = old.lines().map(squeeze).filter(filled).collect();
    let numbered = lines.iter().enumerate().map(|(at, line)| (at, squeeze(line)));
    let all: Vec<(usize, String)> = numbered.filter(|(_, line)| filled(line)).collect();
    if wanted.is_empty() {
        return None;
    }
    let (last, middle) = wanted.split_last()?;
    let is_here = |window: &&[(usize, String)]| {
        let (end, begin) = (&window[window.len() - 1].1, &window[..window.len() - 1]);
        // `old` may begin and end within a line.
        let inner = begin.iter().zip(middle).enumerate();
        let same =
            inner.into_iter().all(
                |(at, ((_, line), wanted))| {
                    if at == 0 { line.ends_with(wanted.as_str()) } else { line == wanted }
                },
            );
        same && if begin.is_empty() { end.contains(last.as_str()) } else { end.starts_with(last.as_str()) }
    };
    let found = all.windows(wanted.len()).find(is_here)?;
    let (first, end) = (found[0].0, found[found.len() - 1].0);
    Some((first, end + 1 - first))
}

/// The white space that differs.
fn difference(lines: &[&str], old: &str) -> &'static str {
    let has = |tab: char| (lines.iter().any(|line| line.contains(tab)), old.contains(tab));
    match has('\t') {
        (true, false) => "white space (the file has tabs, `old` has none)",
        (false, true) => "white space (`old` has tabs, the file has none)",
        _ if has('\u{a0}').0 && !has('\u{a0}').1 => "white space (the file has no-break spaces)",
        _ => "white space (spaces, indentation or blank lines)",
    }
}

/// The line that is most alike to the first line of `old` that says something.
fn nearest(lines: &[&str], old: &str) -> Option<usize> {
    let wanted = old.lines().map(str::trim).max_by_key(|line| line.len().min(COMPARED))?;
    let before = old.lines().position(|line| line.trim() == wanted).unwrap_or(0);
    let wanted = pairs(wanted);
    let scored = lines.iter().enumerate().map(|(at, line)| (likeness(&wanted, line), at));
    // Of equals, the first.
    let (score, at) = scored.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (score >= ALIKE).then_some(at.saturating_sub(before))
}

/// How often each pair of neighbouring characters occurs.
fn pairs(line: &str) -> HashMap<[char; 2], u32> {
    let mut pairs = HashMap::new();
    let characters: Vec<char> = line.chars().take(COMPARED).collect();
    for pair in characters.windows(2) {
        *pairs.entry([pair[0], pair[1]]).or_default() += 1;
    }
    pairs
}

/// The part of the pairs that both have: 1 if they are the same.
fn likeness(wanted: &HashMap<[char; 2], u32>, line: &str) -> f64 {
    let line = pairs(line.trim());
    let count = |pairs: &HashMap<[char; 2], u32>| pairs.values().sum::<u32>();
    let all = count(wanted) + count(&line);
    let both: u32 = line.iter().map(|(pair, times)| wanted.get(pair).copied().unwrap_or(0).min(*times)).sum();
    if all == 0 { 0.0 } else { 2.0 * f64::from(both) / f64::from(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "import csv\n\ndef total(rows):\n\treturn sum(row.price for row in rows)\n\nprint(total([]))\n";

    #[test]
    fn differences_in_white_space_are_told() {
        let why = not_found(FILE, "def total(rows):\n    return sum(row.price for row in rows)");
        assert!(why.contains("the file has tabs, `old` has none"), "{why}");
        assert!(why.contains("3: def total(rows):\n4: \treturn sum("), "{why}");
        assert!(!why.contains("1: import"), "{why}");
        let why = not_found(FILE, "print( total([]) )");
        assert!(why.contains("spaces, indentation") && why.contains("6: print"), "{why}");
        let why = not_found(FILE, "import csv\ndef total(rows):");
        assert!(why.contains("blank lines") && why.contains("1: import csv\n2: \n3: def"), "{why}");
    }

    #[test]
    fn the_nearest_lines_are_shown() {
        let why = not_found(FILE, "    return sum(row.prices for row in row)");
        assert!(why.contains("The nearest lines are:\n2: \n3: def total(rows):\n4: \treturn sum("), "{why}");
        let why = not_found(FILE, "def total(rows):\n\treturn sum(r.price for row in rows)");
        assert!(why.contains("1: import csv\n2: \n3: def total(rows):"), "{why}");
        assert_eq!(not_found(FILE, "SELECT * FROM customers"), AGAIN);
        assert_eq!(not_found("", "x"), AGAIN);
        assert_eq!(not_found(FILE, " \n"), AGAIN);
    }

    #[test]
    fn a_long_text_is_not_searched_for_in_a_large_file() {
        let zeros = |count| "0\n".repeat(count);
        let near = not_found(&zeros(200), &format!(" {}", zeros(MAX_NEAR_LINES)));
        assert!(near.contains("spaces, indentation"), "{near}");
        let beyond = not_found(&zeros(200), &format!(" {}", zeros(MAX_NEAR_LINES + 1)));
        assert_eq!(beyond, AGAIN);
        // Ten thousand million comparisons otherwise.
        assert_eq!(not_found(&zeros(200_000), &format!("{}x", zeros(100_000))), AGAIN);
    }

    #[test]
    fn an_error_is_short() {
        let long = format!("{}\n", "word ".repeat(5000)).repeat(50);
        assert!(not_found(&long, &format!("{}x", "word ".repeat(100))).len() < 2200);
    }
}
