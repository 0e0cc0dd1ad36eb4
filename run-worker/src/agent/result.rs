//! The result of a run, or the note that asks the model for another answer.

use model_client::{Written, find_written_calls};
use shared::config::StructuredOutput;
use shared::definition_checker::CheckError;
use shared::runs::events::NoteKind;
use shared::runs::{ErrorCode, RunError, RunResult};

use super::ask::is_without_tools;
use super::validate::{ResultCheck, candidates, incomplete};
use super::{Agent, Halt, begin, events};

/// The notes about an empty answer, and about a tool call in the text.
const CLOSING: &str = "Your answer was empty. If the work is done, say in a sentence or two what you did.";
const TOOL_FORM: &str = "Your answer holds a tool call as text, which cannot be run. Call the tool with the \
                         tool-calling interface, or answer in words. Put an example of a call into a code \
                         block.";
const NO_TOOLS: &str = "Your answer holds a tool call, but there are no tools. Answer in words.";

impl Agent<'_, '_> {
    /// The result, if the last answer is one. Otherwise a note asks for another answer, once for each fault.
    pub(super) async fn result(&mut self) -> Result<Option<RunResult>, Halt> {
        let transcript = self.log.transcript();
        let step = transcript.spent().steps();
        if transcript.is_incomplete() {
            return Err(incomplete(transcript.finish_reason(), transcript.last_text(), step).into());
        }
        if self.app.output.is_none() && transcript.last_answer().trim().is_empty() {
            return if self.may_ask_again(&NoteKind::Closing) {
                self.log.add(events::note(NoteKind::Closing, CLOSING.to_owned()));
                Ok(None)
            } else {
                Ok(Some(RunResult { text: transcript.last_text().to_owned(), ..RunResult::default() }))
            };
        }
        let is_raw_call = match find_written_calls(transcript.last_answer(), &[]) {
            Written::Nothing => false,
            Written::Unreadable => true,
            // The model may quote what it read.
            Written::Calls { written, .. } => !transcript.has_read(&written),
        };
        if is_raw_call {
            return self.told_form(step).map(|()| None);
        }
        let why = match self.validate().await? {
            ResultCheck::Valid(result) => return Ok(Some(result)),
            ResultCheck::Mismatch(why) => why,
        };
        if !self.may_ask_again(&NoteKind::Repair) {
            let message = format!("step {step}: the answer does not match the app's output schema: {why}");
            return Err(RunError::new(ErrorCode::InvalidResult, &message, Some(step)).into());
        }
        let schema = self.app.output.as_ref().map(|output| output.schema.to_string()).unwrap_or_default();
        let text = format!(
            "Your answer does not match the required JSON Schema: {why}. Answer again, with only the \
             corrected JSON. The schema is:\n{schema}"
        );
        self.log.add(events::note(NoteKind::Repair, text));
        Ok(None)
    }

    /// Whether a note of this kind may ask the model for another answer.
    fn may_ask_again(&self, kind: &NoteKind) -> bool {
        let transcript = self.log.transcript();
        !transcript.has_note(kind) && self.budget.exhausted(transcript.spent()).is_none()
    }

    /// Tells the model that a tool call in its text cannot be run. The second such answer ends the run.
    fn told_form(&mut self, step: i32) -> Result<(), Halt> {
        if self.may_ask_again(&NoteKind::ToolForm) {
            let settings = self.model.settings();
            let has_final_answer =
                self.app.output.is_some() && settings.structured_output == StructuredOutput::Tool;
            let has_tools = has_final_answer || !self.app.tools.is_empty();
            let are_sent = has_tools && !is_without_tools(self.log.transcript(), &settings);
            let hint = if are_sent { TOOL_FORM } else { NO_TOOLS };
            self.log.add(events::note(NoteKind::ToolForm, hint.to_owned()));
            return Ok(());
        }
        let message = format!(
            "step {step}: the model wrote a tool call as text, which cannot be run; set up the tool parser \
             of the model's server, or use another model"
        );
        Err(RunError::new(ErrorCode::ModelError, &message, Some(step)).with_retryable(false).into())
    }

    /// Checks the last answer against the app's schema, if the app has one. Of several JSON texts in it, the
    /// first that matches is the result.
    async fn validate(&self) -> Result<ResultCheck, RunError> {
        let text = self.log.transcript().last_answer();
        let Some(output) = &self.app.output else { return Ok(ResultCheck::of_text(text)) };
        let found = match candidates(text) {
            Ok(found) => found,
            Err(why) => return Ok(ResultCheck::Mismatch(why)),
        };
        let mut first = None;
        for data in found {
            let checking = self.context.checker.violations(self.claimed.user_id, &output.schema, &data);
            let checked = match self.until_deadline(checking).await? {
                Ok(violations) => ResultCheck::of_json(text, data, &violations),
                // The schema alone was accepted at the start, so this value makes it costly.
                Err(CheckError::Refused(why)) => ResultCheck::Mismatch(format!("its check {why}")),
                Err(error) => return Err(begin::not_applied(ErrorCode::InternalError, "the answer", &error)),
            };
            match checked {
                ResultCheck::Valid(_) => return Ok(checked),
                ResultCheck::Mismatch(_) => first = first.or(Some(checked)),
            }
        }
        Ok(first.unwrap_or_else(|| ResultCheck::Mismatch("the answer holds no JSON".to_owned())))
    }
}
