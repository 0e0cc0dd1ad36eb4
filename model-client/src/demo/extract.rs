//! The sample Extract: a person's name, age and city.

use serde_json::json;

use super::reply::Reply;
use super::scene::Scene;

const MAX_AGE: u32 = 150;
/// Words that stand before a city.
const BEFORE_CITY: [&str; 4] = ["in ", "from ", "at ", "near "];

pub(super) fn answer(scene: &Scene<'_>) -> Option<Reply> {
    let is_task = scene.has_no_tools() && scene.wants(&["name", "age", "city"]);
    if !is_task {
        return None;
    }
    let text = scene.text();
    let data = json!({"name": name(text), "age": age(text), "city": city(text)});
    Some(Reply::text(data.to_string()))
}

/// The first words that begin with a capital letter.
fn capitals(text: &str) -> Option<String> {
    let is_capital = |word: &&str| word.starts_with(char::is_uppercase);
    let mut name = Vec::new();
    for word in text.split_whitespace().skip_while(|word| !is_capital(word)).take_while(is_capital) {
        name.push(word.trim_matches(|c: char| !c.is_alphanumeric()));
        if word.ends_with([',', '.', ';', ':', '!', '?']) {
            break;
        }
    }
    Some(name.join(" ")).filter(|name| !name.is_empty())
}

fn name(text: &str) -> String {
    // The schema demands a name.
    capitals(text).unwrap_or_else(|| "unknown".to_owned())
}

fn age(text: &str) -> Option<u32> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
    numbers.find(|number| *number <= MAX_AGE)
}

fn city(text: &str) -> Option<String> {
    BEFORE_CITY.iter().find_map(|word| {
        let before = format!(" {word}");
        let mut found = text.match_indices(&before);
        found.find_map(|(at, matched)| {
            let rest = &text[at + matched.len()..];
            rest.starts_with(char::is_uppercase).then(|| capitals(rest)).flatten()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found() {
        let text = "Ada Lovelace, aged 36, lives in London.";
        assert_eq!((name(text).as_str(), age(text)), ("Ada Lovelace", Some(36)));
        assert_eq!(city(text).as_deref(), Some("London"));
        let text = "yesterday Grace Hopper wrote in 1952 from New York, they say";
        assert_eq!((name(text).as_str(), age(text)), ("Grace Hopper", None));
        assert_eq!(city(text).as_deref(), Some("New York"));
        assert_eq!((name("nobody").as_str(), city("")), ("unknown", None));
    }
}
