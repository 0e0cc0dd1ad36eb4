//! The pictures that are sent to the model with the prompt. When the run begins, these are the pictures among
//! its input files. A later attempt sends the pictures that the log names. Each attempt reads them once.

use std::collections::HashMap;

use shared::apps::AppDefinition;
use shared::ids::FileId;
use shared::media_types::{MAX_PICTURES, is_picture};
use shared::runs::events::LoggedPicture;
use shared::runs::{ErrorCode, RunError};
use tokio::time::timeout_at;

use super::budget::Budget;
use super::transcript::{Next, Transcript};
use super::{Agent, files};
use crate::context::Context;
use crate::pictures::PictureError;
use crate::workspace::InputFile;
use model_client::Picture;

/// Bytes of all pictures of a run as base64. Model servers take requests of 32 MB, and the conversation needs
/// room too.
const MAX_BASE64_BYTES: usize = 28 << 20;

/// The pictures of an attempt.
pub(super) type LoadedPictures = HashMap<FileId, Picture>;

/// Whether the model may be shown a file. `sees`: whether it sees pictures.
pub(super) fn may_be_shown(transcript: &Transcript, sees: bool) -> bool {
    if transcript.next() == Next::Begin { sees } else { transcript.has_pictures() }
}

fn is_shown(file: &InputFile, transcript: &Transcript, sees: bool) -> bool {
    if transcript.next() == Next::Begin {
        sees && is_picture(&file.media_type)
    } else {
        transcript.shows(file.id)
    }
}

/// Refuses pictures that neither the model nor a program of the app can open. The gateway refuses them too,
/// but the models file may have changed since then.
pub(super) fn check(
    app: &AppDefinition,
    inputs: &[InputFile],
    transcript: &Transcript,
    sees: bool,
) -> Result<(), RunError> {
    let begins = transcript.next() == Next::Begin;
    let unseen = inputs.iter().find(|file| is_picture(&file.media_type));
    match unseen.filter(|_| begins && !sees && !app.opens_pictures()) {
        None => Ok(()),
        Some(file) => {
            let message = format!(
                "inputs/{}: the model cannot see pictures; choose one with vision, or give the app the tool \
                 python",
                file.name
            );
            Err(RunError::new(ErrorCode::PromptError, &message, None))
        }
    }
}

/// Reads the pictures that are sent to the model. A picture that cannot be read ends the run: otherwise the
/// model would answer without it.
pub(super) async fn load(
    context: &Context,
    inputs: &[InputFile],
    transcript: &Transcript,
    sees: bool,
    budget: &Budget,
) -> Result<LoadedPictures, RunError> {
    let shown: Vec<_> = inputs.iter().filter(|file| is_shown(file, transcript, sees)).collect();
    if shown.len() > MAX_PICTURES {
        let message = format!("the model is shown at most {MAX_PICTURES} pictures; send fewer");
        return Err(RunError::new(ErrorCode::PromptError, &message, None));
    }
    let (mut loaded, mut bytes) = (LoadedPictures::new(), 0);
    for file in shown {
        let reading = timeout_at(budget.deadline(), context.pictures.of_file(&context.artifacts, file));
        let picture = reading.await.map_err(|_| budget.out_of_time(transcript.spent()))?;
        let picture = picture.map_err(|error| run_error(file, &error))?;
        bytes += picture.base64.len();
        if bytes > MAX_BASE64_BYTES {
            let most = MAX_BASE64_BYTES >> 20;
            let message = format!("the pictures have more than {most} MiB as base64; send fewer");
            return Err(RunError::new(ErrorCode::PromptError, &message, None));
        }
        loaded.insert(file.id, picture);
    }
    Ok(loaded)
}

fn run_error(file: &InputFile, error: &PictureError) -> RunError {
    let (code, why) = match error {
        PictureError::Refused(refusal) => {
            tracing::warn!(file_id = %file.id, outcome = refusal.name(), "failed to read a picture of a run");
            (ErrorCode::PromptError, refusal.to_string())
        }
        PictureError::Unavailable(cause) => {
            tracing::error!(file_id = %file.id, cause, "failed to start or to ask picture-reader");
            (ErrorCode::InternalError, "the worker could not read the picture".to_owned())
        }
        PictureError::Store(error) => return files::run_error(error, None),
    };
    RunError::new(code, &format!("inputs/{}: {why}", file.name), None)
}

/// The pictures of a run that begins, as the log names them, in the order of the files.
pub(super) fn logged(agent: &Agent<'_, '_>) -> Vec<LoggedPicture> {
    let shown = agent.inputs.iter().filter(|file| agent.pictures.contains_key(&file.id));
    let logged = shown.map(|file| LoggedPicture {
        file: file.id,
        name: file.name.clone(),
        media_type: file.media_type.clone(),
    });
    logged.collect()
}
