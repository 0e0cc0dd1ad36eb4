//! The texts of the conversation, and the web pages that it names.

use model_client::{Message, call_body};
use shared::runs::events::FoundSource;

use super::super::published::Published;
use super::Transcript;
use crate::egress::Origin;

impl Transcript {
    /// The text of the last answer.
    #[must_use]
    pub fn last_answer(&self) -> &str {
        let last = self.messages.iter().rev().find_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    /// Whether the model can have read these calls in the prompt or in a tool result. Blanks and tags do not
    /// count.
    pub(in crate::agent) fn has_read(&self, written: &str) -> bool {
        let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let body = squeezed(call_body(written));
        let mut read = self.messages.iter().filter_map(|message| match message {
            Message::User { text, .. } | Message::Tool { content: text, .. } => Some(text),
            Message::System(_) | Message::Assistant { .. } => None,
        });
        read.any(|text| squeezed(text).contains(&body))
    }

    /// The model's last text that is not blank.
    #[must_use]
    pub fn last_text(&self) -> &str {
        let texts = self.messages.iter().rev().filter_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default()
    }

    /// The texts that the model cannot have written: instructions, prompt, pages and input files. Notes are
    /// not among them, because they may quote the model.
    pub fn sources(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.sources.iter().filter_map(|(at, origin)| match self.messages.get(*at)? {
            Message::System(text) | Message::User { text, .. } | Message::Tool { content: text, .. } => {
                Some((text.as_str(), *origin))
            }
            Message::Assistant { .. } => None,
        })
    }

    /// The numbers of the web pages.
    pub(in crate::agent) fn numbered_sources(&self) -> impl Iterator<Item = (&str, u32)> {
        self.pages.iter().map(|page| (page.url.as_str(), page.id))
    }

    /// The web pages that the calls found or read. A page that several calls named is there several times.
    pub(in crate::agent) fn pages(&self) -> &[FoundSource] {
        &self.pages
    }

    /// What the calls that published files say about the content of these files.
    pub(in crate::agent) const fn published(&self) -> &Published {
        &self.published
    }
}
