//! Finds the sentences of a text that are about a question. Pure.

/// A longer sentence is most likely a table or a menu.
const MAX_CHARS: usize = 400;
/// A shorter sentence is most likely a heading.
const MIN_CHARS: usize = 25;
/// Shorter words say little about a question.
const MIN_WORD_CHARS: usize = 4;

/// The sentences of a text.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let mut sentence = String::new();
        for word in line.split_whitespace() {
            if !sentence.is_empty() {
                sentence.push(' ');
            }
            sentence.push_str(word);
            if word.ends_with(['.', '!', '?', '。']) {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        sentences.push(sentence);
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// At most `most` sentences that share words with the question, in their order in the text.
pub(super) fn about(question: &str, text: &str, most: usize) -> Vec<String> {
    let asked = words(question);
    let mut scored: Vec<_> = split(text)
        .into_iter()
        .filter(|sentence| (MIN_CHARS..=MAX_CHARS).contains(&sentence.chars().count()))
        .filter(|sentence| sentence.ends_with(['.', '!', '。']) && !sentence.contains("http"))
        .enumerate()
        .map(|(at, sentence)| (score(&asked, &sentence), at, sentence))
        .filter(|(score, ..)| *score > 0)
        .collect();
    scored.sort_by_key(|(score, at, _)| (std::cmp::Reverse(*score), *at));
    scored.truncate(most);
    scored.sort_by_key(|(_, at, _)| *at);
    scored.into_iter().map(|(.., sentence)| sentence).collect()
}

fn score(asked: &[String], sentence: &str) -> usize {
    let said = words(sentence);
    asked.iter().filter(|word| said.contains(word)).count()
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let mut words: Vec<_> = words.filter(|word| word.chars().count() >= MIN_WORD_CHARS).collect();
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_about_a_question_are_found() {
        let text = "Norrvik\nThe ferry is quiet and costs less than before. It rains often in the autumn \
                    there. The new ferry was bought in 2024. See http://x/ for the ferry that is new.";
        assert_eq!(split("One. Two!\n\nThree"), ["One.", "Two!", "Three"]);
        let found = about("What does the new ferry cost?", text, 2);
        assert_eq!(
            found,
            ["The ferry is quiet and costs less than before.", "The new ferry was bought in 2024."]
        );
        assert!(about("Was ist das?", text, 2).is_empty());
    }
}
