//! The pictures that are sent to the model with the prompt. When the run begins, these are the pictures among
//! its input files. A later attempt sends the pictures that the log names. Each attempt reads them once.

use std::collections::HashMap;

use shared::apps::AppDefinition;
use shared::ids::{FileId, UserId};
use shared::media_types::{MAX_PICTURES, is_picture};
use shared::runs::events::LoggedPicture;
use shared::runs::{ErrorCode, RunError};
use tokio::time::timeout_at;

use super::budget::Budget;
use super::transcript::{Next, Transcript};
use super::{Agent, files};
use crate::context::Context;
use crate::leases::store::Claimed;
use crate::pictures::{MAX_BASE64_BYTES, PictureError, PictureMemory};
use crate::workspace::InputFile;
use model_client::Picture;

/// The pictures of an attempt.
#[derive(Default)]
pub(super) struct LoadedPictures {
    pictures: HashMap<FileId, Picture>,
    /// `None` without pictures.
    _memory: Option<PictureMemory>,
}

impl LoadedPictures {
    pub(super) fn get(&self, file: &FileId) -> Option<&Picture> {
        self.pictures.get(file)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(FileId, Picture); N]> for LoadedPictures {
    fn from(pictures: [(FileId, Picture); N]) -> Self {
        Self { pictures: pictures.into(), _memory: None }
    }
}

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
fn check(
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
/// model would answer without it. If a program of the app opens pictures, the model is shown the first ones
/// that fit. The list of files says which.
pub(super) async fn load(
    context: &Context,
    claimed: &Claimed,
    (app, inputs): (&AppDefinition, &[InputFile]),
    transcript: &Transcript,
    sees: bool,
    budget: &Budget,
) -> Result<LoadedPictures, RunError> {
    check(app, inputs, transcript, sees)?;
    let may_leave_out = transcript.next() == Next::Begin && app.opens_pictures();
    let mut shown: Vec<_> = inputs.iter().filter(|file| is_shown(file, transcript, sees)).collect();
    if may_leave_out {
        shown.truncate(MAX_PICTURES);
    } else if shown.len() > MAX_PICTURES {
        let message = format!("the model is shown at most {MAX_PICTURES} pictures; send fewer");
        return Err(RunError::new(ErrorCode::PromptError, &message, None));
    }
    let reading = read(context, claimed.user_id, &shown, may_leave_out);
    let read = timeout_at(budget.deadline(), reading).await;
    read.unwrap_or_else(|_| {
        let message = "the run's time ended before its pictures were read; the worker may be busy: try again";
        Err(RunError::new(ErrorCode::TimeLimitExceeded, message, None))
    })
}

async fn read(
    context: &Context,
    account: UserId,
    shown: &[&InputFile],
    may_leave_out: bool,
) -> Result<LoadedPictures, RunError> {
    let [first, ..] = shown else { return Ok(LoadedPictures::default()) };
    let sizes: Vec<u64> = shown.iter().map(|file| file.size).collect();
    let turn = context.pictures.turn(account, &sizes).await;
    let mut turn = turn.map_err(|error| run_error(first, &error))?;
    let (mut pictures, mut bytes) = (HashMap::new(), 0);
    for file in shown {
        let picture = turn.of_file(&context.artifacts, file).await;
        let picture = picture.map_err(|error| run_error(file, &error))?;
        let more = bytes + picture.base64.len();
        if more > MAX_BASE64_BYTES && may_leave_out {
            break;
        }
        if more > MAX_BASE64_BYTES {
            let most = MAX_BASE64_BYTES >> 20;
            let message = format!("the pictures have more than {most} MiB as base64; send fewer");
            return Err(RunError::new(ErrorCode::PromptError, &message, None));
        }
        bytes = more;
        pictures.insert(file.id, picture);
    }
    Ok(LoadedPictures { pictures, _memory: Some(turn.end(bytes)) })
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
    let shown = agent.inputs.iter().filter(|file| agent.pictures.get(&file.id).is_some());
    let logged = shown.map(|file| LoggedPicture {
        file: file.id,
        name: file.name.clone(),
        media_type: file.media_type.clone(),
    });
    logged.collect()
}

/// Names the pictures where no list of files does. A single one needs no name.
pub(super) fn names(shown: &[LoggedPicture]) -> Option<String> {
    let names = shown.iter().map(|picture| format!("\n- {}", picture.name));
    (shown.len() > 1)
        .then(|| format!("The caller's pictures, in the order shown:{}", names.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_are_named() {
        let shown = ["a.png", "b, c.jpg"].map(|name| LoggedPicture {
            file: FileId::generate(),
            name: name.to_owned(),
            media_type: "image/png".to_owned(),
        });
        let named = "The caller's pictures, in the order shown:\n- a.png\n- b, c.jpg";
        assert_eq!(names(&shown).as_deref(), Some(named));
        assert_eq!(names(&shown[..1]), None);
    }
}
