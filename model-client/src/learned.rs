//! What the client learned from a server's refusals, for all later requests. A refusal may quote a user's
//! text. So a correction counts only after the server answered the corrected request. A window counts only if
//! the refused request can have exceeded it.

use std::mem::discriminant;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use shared::config::ModelSettings;

use super::correction::Correction;
use super::{Answer, ModelError, Request};

/// No model in use has a smaller window.
const LEAST_WINDOW: u32 = 1024;

pub(crate) struct Learned {
    /// The model's id.
    id: String,
    settings: RwLock<Arc<ModelSettings>>,
    corrections: Mutex<Vec<Correction>>,
    /// The window that a refusal named, or 0.
    window: AtomicU32,
    /// The most input tokens of an answered request.
    most_counted: AtomicI64,
}

impl Learned {
    pub(crate) fn new(id: &str, settings: ModelSettings) -> Self {
        Self {
            id: id.to_owned(),
            settings: RwLock::new(Arc::new(settings)),
            corrections: Mutex::default(),
            window: AtomicU32::new(0),
            most_counted: AtomicI64::new(0),
        }
    }

    pub(crate) fn settings(&self) -> Arc<ModelSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The corrections as lines of the models file.
    pub(crate) fn lines(&self) -> Vec<String> {
        let corrections = self.corrections.lock().unwrap_or_else(PoisonError::into_inner);
        corrections.iter().map(|correction| correction.setting()).collect()
    }

    /// The window of the models file, or the learned one if that is lower.
    pub(crate) fn window(&self) -> Option<u32> {
        let learned = self.window.load(Ordering::Relaxed);
        self.settings().context_window.into_iter().chain((learned > 0).then_some(learned)).min()
    }

    /// Learns from an answer to a request with these corrections.
    pub(crate) fn answered(&self, corrections: &[Correction], answer: &Answer) {
        for correction in corrections.iter().filter(|correction| correction.is_lasting()) {
            self.correct(*correction);
        }
        let window = self.window.load(Ordering::Relaxed);
        let counted = answer.usage.map_or(0, |usage| usage.input);
        self.most_counted.fetch_max(counted, Ordering::Relaxed);
        if window > 0 && counted > window.into() {
            self.window.store(0, Ordering::Relaxed);
            tracing::warn!(
                model = self.id,
                window,
                "dropped the learned window of the model: the server answered a longer request"
            );
        }
    }

    fn correct(&self, correction: Correction) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let mut corrected = (**settings).clone();
        correction.apply(&mut corrected);
        if corrected == **settings {
            return;
        }
        *settings = Arc::new(corrected);
        drop(settings);
        let mut corrections = self.corrections.lock().unwrap_or_else(PoisonError::into_inner);
        corrections.retain(|older| discriminant(older) != discriminant(&correction));
        corrections.push(correction);
        drop(corrections);
        metrics::counter!("capi_model_corrections_total", "model" => self.id.clone()).increment(1);
        tracing::warn!(
            model = self.id,
            setting = correction.setting(),
            "the model's server refused a parameter, and answers without it: write the setting into the \
             models file"
        );
    }

    /// Learns the window that a refusal names.
    pub(crate) fn refused(&self, error: &ModelError, request: &Request<'_>) {
        let ModelError::ContextLength { window: Some(window), .. } = error else { return };
        // A token has at least one byte.
        let most = request.bytes().saturating_add(request.max_tokens.unwrap_or(0) as usize);
        let counted = self.most_counted.load(Ordering::Relaxed);
        if *window < LEAST_WINDOW || *window as usize > most || i64::from(*window) < counted {
            return;
        }
        let known = self.window.swap(*window, Ordering::Relaxed);
        if known != *window && self.settings().context_window != Some(*window) {
            tracing::warn!(
                model = self.id,
                setting = format!("context_window = {window}"),
                "learned the model's window from a refusal: write the setting into the models file"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counted, Message, ToolChoice};
    use shared::text::CleanText;

    fn learned() -> Learned {
        let text = "[[models]]\nid='a'\nname='n'\nprovider='openai'\nmodel='m'\nbase_url='http://h/v1'\n";
        let file: shared::config::ModelsFile = toml::from_str(text).unwrap();
        Learned::new("a", file.default_model().settings())
    }

    fn answer(input: i64) -> Answer {
        Answer {
            text: CleanText::new("x", 9),
            reasoning: None,
            calls: vec![],
            finish_reason: "stop".to_owned(),
            usage: Some(Counted { input, output: 1, cached_input: None, reasoning: None }),
        }
    }

    fn too_long(window: u32) -> ModelError {
        ModelError::ContextLength { message: String::new(), window: Some(window), requested: None }
    }

    #[test]
    fn a_window_is_believed_only_as_far_as_it_can_be_true() {
        let learned = learned();
        let long = [Message::user("x".repeat(8000))];
        let request = Request {
            messages: &long,
            tools: &[],
            schema: None,
            max_tokens: None,
            tool_choice: ToolChoice::Auto,
        };
        let short = [Message::user("x".to_owned())];
        learned.refused(&too_long(4096), &Request { messages: &short, ..request });
        learned.refused(&too_long(100), &request);
        assert_eq!(learned.window(), None);
        learned.refused(&too_long(4096), &request);
        assert_eq!(learned.window(), Some(4096));
        learned.answered(&[], &answer(4096));
        assert_eq!(learned.window(), Some(4096));
        learned.answered(&[], &answer(4097));
        assert_eq!(learned.window(), None, "a longer request was answered");
        learned.refused(&too_long(2048), &request);
        assert_eq!(learned.window(), None);
    }

    #[test]
    fn a_correction_counts_after_an_answer() {
        let learned = learned();
        learned.answered(&[Correction::StreamUsage, Correction::MaxOutputTokens(500)], &answer(1));
        learned.answered(&[Correction::StreamUsage, Correction::MaxOutputTokens(400)], &answer(1));
        assert!(!learned.settings().stream_usage);
        assert_eq!(learned.lines(), ["stream_usage = false", "max_output_tokens = 400"]);
    }
}
