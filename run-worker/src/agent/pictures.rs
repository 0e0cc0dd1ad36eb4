//! The pictures that are sent to the model: with the prompt, and with the results of tools. When the run
//! begins, these are the pictures among its input files. A later attempt sends the pictures that the log
//! names. Each attempt reads them once.

use std::collections::HashMap;

use shared::apps::AppDefinition;
use shared::ids::{FileId, UserId};
use shared::media_types::{MAX_PICTURES, is_picture};
use shared::runs::events::{LoggedPicture, StoredPicture};
use shared::runs::{ErrorCode, RunError};
use tokio::time::timeout_at;

use super::budget::Budget;
use super::transcript::{Next, Transcript};
use super::{Agent, files};
use crate::context::Context;
use crate::leases::store::Claimed;
use crate::pictures::{MAX_BASE64_BYTES, PictureError, PictureMemory, PicturesLeft, ShownPicture};
use crate::workspace::InputFile;
use model_client::{Message, Picture};

/// The pictures of an attempt.
#[derive(Default)]
pub(super) struct LoadedPictures {
    /// By the ids of input files, and by the ids of the calls that showed a picture.
    pictures: HashMap<FileId, Picture>,
    memory: Vec<PictureMemory>,
}

impl LoadedPictures {
    pub(super) fn get(&self, file: &FileId) -> Option<&Picture> {
        self.pictures.get(file)
    }

    /// Adds the picture that the call with this id showed.
    pub(super) fn add(&mut self, id: FileId, shown: ShownPicture) {
        self.pictures.insert(id, shown.picture);
        self.memory.push(shown.memory);
    }

    /// What the model may still be shown.
    pub(super) fn left(&self, account: UserId) -> PicturesLeft {
        let bytes: usize = self.pictures.values().map(|picture| picture.base64.len()).sum();
        let pictures = MAX_PICTURES.saturating_sub(self.pictures.len());
        PicturesLeft::new(account, pictures, MAX_BASE64_BYTES.saturating_sub(bytes))
    }
}

/// The text that stands for a picture that was left out.
const LEFT_OUT: &str = "[the picture was left out to make room; call read_file again if it is needed]";

/// Leaves out the pictures of a message, to make room in the model's window.
pub(super) fn leave_out(message: &mut Message) {
    if let Message::User { text, pictures } = message
        && !pictures.is_empty()
    {
        pictures.clear();
        text.push(' ');
        text.push_str(LEFT_OUT);
    }
}

#[cfg(test)]
impl<const N: usize> From<[(FileId, Picture); N]> for LoadedPictures {
    fn from(pictures: [(FileId, Picture); N]) -> Self {
        Self { pictures: pictures.into(), memory: Vec::new() }
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
    let reading = read(context, claimed, &shown, transcript.stored_pictures(), may_leave_out);
    let read = timeout_at(budget.deadline(), reading).await;
    read.unwrap_or_else(|_| {
        let message = "the run's time ended before its pictures were read; the worker may be busy: try again";
        Err(RunError::new(ErrorCode::TimeLimitExceeded, message, None))
    })
}

async fn read(
    context: &Context,
    claimed: &Claimed,
    shown: &[&InputFile],
    stored: &[(FileId, StoredPicture)],
    may_leave_out: bool,
) -> Result<LoadedPictures, RunError> {
    let ids = shown.iter().map(|file| file.id).chain(stored.iter().map(|(id, _)| *id));
    let Some(first) = ids.min() else { return Ok(LoadedPictures::default()) };
    let sizes = shown.iter().map(|file| file.size);
    let sizes: Vec<u64> = sizes.chain(stored.iter().map(|(_, picture)| picture.size)).collect();
    let turn = context.pictures.turn(claimed.user_id, &sizes).await;
    let mut turn = turn.map_err(|error| run_error((first, "the pictures"), &error))?;
    let (mut pictures, mut bytes) = (HashMap::new(), 0);
    for file in shown {
        let (picture, path) = (turn.of_file(&context.artifacts, file).await, format!("inputs/{}", file.name));
        let picture = picture.map_err(|error| run_error((file.id, &path), &error))?;
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
    // They had room beside the input files when the tools showed them.
    for (id, named) in stored {
        let picture = turn.of_stored(&context.artifacts, claimed.id, named).await;
        let picture = picture.map_err(|error| run_error((*id, &named.name), &error))?;
        bytes += picture.base64.len();
        pictures.insert(*id, picture);
    }
    Ok(LoadedPictures { pictures, memory: vec![turn.end(bytes)] })
}

/// The id of a file is for the log, its path for the caller.
fn run_error((id, path): (FileId, &str), error: &PictureError) -> RunError {
    let (code, why) = match error {
        PictureError::Refused(refusal) => {
            tracing::warn!(file_id = %id, outcome = refusal.name(), "failed to read a picture of a run");
            (ErrorCode::PromptError, refusal.to_string())
        }
        PictureError::Unavailable(cause) => {
            tracing::error!(file_id = %id, cause, "failed to start or to ask picture-reader");
            (ErrorCode::InternalError, "the worker could not read the picture".to_owned())
        }
        PictureError::Store(error) => return files::run_error(error, None),
    };
    RunError::new(code, &format!("{path}: {why}"), None)
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
    use super::super::window::{Estimate, Room, fit};
    use super::*;

    /// A conversation with a picture in the prompt and one after each of two results.
    fn conversation() -> Vec<Message> {
        let picture = Picture { media_type: "image/png".to_owned(), base64: "AAAA".into() };
        let shown = |text: &str| Message::User { text: text.to_owned(), pictures: vec![picture.clone()] };
        let answer = || Message::Assistant { text: String::new(), reasoning: None, calls: Vec::new() };
        let result = || Message::Tool { call: "c".to_owned(), content: "shown".to_owned() };
        vec![shown("go"), answer(), result(), shown("first"), answer(), result(), shown("second")]
    }

    #[test]
    fn older_pictures_of_tools_are_left_out_first_and_those_of_the_prompt_never() {
        let shown = |window: u32| -> Vec<usize> {
            let room = Room {
                window: Some(window),
                max_output_tokens: Some(100),
                returns_reasoning: false,
                overhead: 0,
                estimate: Estimate::default(),
                most: None,
            };
            let messages = conversation();
            let fitted = fit(&messages, &room);
            let pictures = fitted.messages.iter().filter_map(|message| match message {
                Message::User { pictures, .. } => Some(pictures.len()),
                _ => None,
            });
            pictures.collect()
        };
        assert_eq!(shown(10_000), [1, 1, 1]);
        assert_eq!(shown(5_000), [1, 0, 1]);
        assert_eq!(shown(2_500), [1, 0, 0]);
        assert_eq!(shown(500), [1, 0, 0]);
        let mut left_out = conversation().remove(3);
        leave_out(&mut left_out);
        assert!(matches!(left_out, Message::User { text, .. } if text == format!("first {LEFT_OUT}")));
    }

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
