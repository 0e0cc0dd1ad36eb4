//! The lines of a text that are shown. The text comes in pieces, so the whole text is never in memory. Pure.

/// Bytes of a text that one call shows. The model reads on with another call.
pub(super) const MAX_SHOWN_BYTES: usize = 48 << 10;
pub(super) const DEFAULT_LINES: usize = 1000;

/// What the model asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The first line, counted from 1.
    pub(super) from: usize,
    pub(super) lines: usize,
    /// Characters of the first line that are skipped.
    pub(super) offset: usize,
}

pub(super) struct Lines {
    wanted: Wanted,
    shown: String,
    /// Lines that are complete, and whether another one has begun.
    complete: usize,
    begun: bool,
    /// Characters of the current line, where they matter.
    column: usize,
    /// Characters of the first wanted line.
    first_length: usize,
    /// The number of the last line that is shown.
    last: usize,
    /// The line and its character with which the text goes on, if it does not fit.
    rest: Option<(usize, usize)>,
}

impl Lines {
    pub(super) const fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            shown: String::new(),
            complete: 0,
            begun: false,
            column: 0,
            first_length: 0,
            last: 0,
            rest: None,
        }
    }

    pub(super) fn add(&mut self, piece: &str) {
        let Wanted { from, lines, .. } = self.wanted;
        let until = from.saturating_add(lines);
        for part in piece.split_inclusive('\n') {
            let number = self.complete + 1;
            if (from..until).contains(&number) && self.rest.is_none() {
                self.show(number, part);
            }
            self.begun = !part.ends_with('\n');
            if !self.begun {
                self.complete = number;
                self.column = 0;
            }
        }
    }

    /// Shows a part of a wanted line, as far as it fits.
    fn show(&mut self, number: usize, part: &str) {
        let mut shown = part;
        if number == self.wanted.from {
            let skipped = self.wanted.offset.saturating_sub(self.column);
            let at = part.char_indices().nth(skipped).map_or(part.len(), |(at, _)| at);
            self.column += part[..at].chars().count();
            shown = &part[at..];
        }
        let fits = shown.floor_char_boundary(MAX_SHOWN_BYTES - self.shown.len());
        self.shown.push_str(&shown[..fits]);
        self.column += shown[..fits].chars().count();
        if fits > 0 {
            self.last = number;
        }
        if number == self.wanted.from {
            self.first_length = self.column;
        }
        if fits < shown.len() {
            self.rest = Some((number, self.column));
        }
    }

    /// The text for the model: the lines, and in brackets what is left out, how to read on, and the notes.
    pub(super) fn finish(self, notes: &[String]) -> String {
        let Wanted { from, offset, .. } = self.wanted;
        let total = self.complete + usize::from(self.begun);
        let mut said = Vec::new();
        if total == 0 {
            said.push("the file is empty".to_owned());
        } else if from > total {
            said.push(format!("the file has {total} line(s)"));
        } else if self.last == 0 {
            said.push(format!("line {from} of {total} has {} characters", self.first_length));
        } else {
            said.extend(self.left_out(total, offset));
        }
        said.extend_from_slice(notes);
        let shown = self.shown.replace('\0', "\u{fffd}");
        match (shown.is_empty(), said.is_empty()) {
            (_, true) => shown,
            (true, false) => format!("[{}]", said.join("; ")),
            (false, false) => format!("{shown}\n[{}]", said.join("; ")),
        }
    }

    fn left_out(&self, total: usize, offset: usize) -> Option<String> {
        let (from, last) = (self.wanted.from, self.last);
        let next = match self.rest {
            Some((line, 0)) => format!("; read on with from_line {line}"),
            Some((line, column)) => {
                format!(", the last one cut; read on with from_line {line} and offset {column}")
            }
            None if last < total => format!("; read on with from_line {}", last + 1),
            None if from == 1 && offset == 0 => return None,
            None => String::new(),
        };
        let skipped = if offset > 0 { format!(" from character {offset}") } else { String::new() };
        Some(format!("lines {from}{skipped} to {last} of {total}{next}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, from: usize, lines: usize, offset: usize) -> String {
        let mut shown = Lines::new(Wanted { from, lines, offset });
        // In small pieces, as a file is read.
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.ceil_char_boundary(3.min(rest.len())));
            shown.add(piece);
            rest = after;
        }
        shown.finish(&[])
    }

    #[test]
    fn a_part_names_its_lines() {
        assert_eq!(part("a\nb\nc", 1, 10, 0), "a\nb\nc");
        assert_eq!(part("a\nb\n", 1, usize::MAX, 0), "a\nb\n");
        assert_eq!(part("a\nbéé\nc", 2, 1, 0), "béé\n\n[lines 2 to 2 of 3; read on with from_line 3]");
        assert_eq!(part("a\nb\nc", 3, 1, 0), "c\n[lines 3 to 3 of 3]");
        assert_eq!(part("a\nb\nc", 9, 1, 0), "[the file has 3 line(s)]");
        assert_eq!(part("", 1, 1, 0), "[the file is empty]");
        assert_eq!(part("a\0b", 1, 1, 0), "a\u{fffd}b");
        let mut noted = Lines::new(Wanted { from: 1, lines: 1, offset: 0 });
        noted.add("ä");
        assert_eq!(noted.finish(&["decoded from windows-1252".to_owned()]), "ä\n[decoded from windows-1252]");
    }

    #[test]
    fn a_long_line_is_read_on_with_an_offset() {
        assert_eq!(part("a\nbéécd", 2, 1, 3), "cd\n[lines 2 from character 3 to 2 of 2]");
        assert_eq!(part("a\nbc\nd", 2, 9, 9), "d\n[lines 2 from character 9 to 3 of 3]");
        assert_eq!(part("a\nbc", 2, 1, 9), "[line 2 of 2 has 2 characters]");
        let line = format!("{}é", "x".repeat(MAX_SHOWN_BYTES));
        let long = part(&line, 1, 10, 0);
        let next = format!(
            "[lines 1 to 1 of 1, the last one cut; read on with from_line 1 and offset {MAX_SHOWN_BYTES}]"
        );
        assert!(long.ends_with(&next), "{}", &long[long.len() - 100..]);
        assert!(part(&line, 1, 10, MAX_SHOWN_BYTES).starts_with("é\n["));
    }

    #[test]
    fn many_lines_are_read_on_with_the_next_line() {
        let text = "line\n".repeat(100_000);
        let first = part(&text, 1, 100_000, 0);
        let note = first.rsplit('[').next().unwrap();
        assert!(
            note.contains("of 100000, the last one cut; read on with from_line 9831 and offset 2"),
            "{note}"
        );
        assert!(part(&text, 9831, 1, 2).starts_with("ne\n"));
        let exact = "x\n".repeat(MAX_SHOWN_BYTES / 2 + 5);
        let cut = part(&exact, 1, usize::MAX, 0);
        assert!(
            cut.ends_with(&format!("; read on with from_line {}]", MAX_SHOWN_BYTES / 2 + 1)),
            "no line is cut"
        );
    }
}
