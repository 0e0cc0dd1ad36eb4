//! Finds the thinking that a server leaves in the text of an answer. Pure. Thinking is never part of a
//! result.

/// How models mark their thinking.
const TAGS: [(&str, &str); 3] =
    [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>")];
/// The marks of the Harmony format (gpt-oss).
const FINAL: &str = "<|channel|>final<|message|>";
const ENDS: [&str; 3] = ["<|return|>", "<|end|>", "<|im_end|>"];

/// Splits a text into its thinking, with the tags, and the answer after it.
pub(crate) fn split(text: &str) -> (Option<&str>, &str) {
    if text.trim_start().starts_with("<|")
        && let Some(at) = text.find(FINAL)
    {
        let (thinking, answer) = text.split_at(at);
        let answer = &answer[FINAL.len()..];
        let end = ENDS.iter().filter_map(|end| answer.find(end)).min().unwrap_or(answer.len());
        return (Some(thinking), &answer[..end]);
    }
    let begun = text.trim_start();
    for (open, close) in TAGS {
        if begun.starts_with(open) {
            // The answer was cut while the model was thinking.
            let Some(at) = text.find(close) else { return (Some(text), "") };
            let (thinking, answer) = text.split_at(at + close.len());
            return (Some(thinking), answer.trim_start());
        }
    }
    // Some chat templates write the opening tag into the prompt.
    for (open, close) in TAGS {
        if let Some(at) = text.find(close)
            && text[..at].ends_with('\n')
            && !text[..at].contains(open)
            && text[..at].matches("```").count().is_multiple_of(2)
        {
            let (thinking, answer) = text.split_at(at + close.len());
            return (Some(thinking), answer.trim_start());
        }
    }
    (None, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_split_off() {
        let cases = [
            ("<think>Hm.</think>{\"n\": 4}", Some("<think>Hm.</think>"), "{\"n\": 4}"),
            ("\n<think>\nHm.\n</think>\n\nHi", Some("\n<think>\nHm.\n</think>"), "Hi"),
            ("Hm.\n</think>\nHi", Some("Hm.\n</think>"), "Hi"),
            ("<think>Hm", Some("<think>Hm"), ""),
            ("[THINK]Hm[/THINK]Hi", Some("[THINK]Hm[/THINK]"), "Hi"),
            ("Write `</think>` at the end", None, "Write `</think>` at the end"),
            ("```\n</think>\n```", None, "```\n</think>\n```"),
            ("Hi <think>", None, "Hi <think>"),
            ("A:\n```\n3\n```\nNo.\n</think>\n4", Some("A:\n```\n3\n```\nNo.\n</think>"), "4"),
            ("It says <|channel|>final<|message|>.", None, "It says <|channel|>final<|message|>."),
            (
                "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Hi\
                 <|return|>",
                Some("<|channel|>analysis<|message|>Hm<|end|><|start|>assistant"),
                "Hi",
            ),
        ];
        for (text, thinking, answer) in cases {
            assert_eq!(split(text), (thinking, answer), "{text}");
        }
    }
}
