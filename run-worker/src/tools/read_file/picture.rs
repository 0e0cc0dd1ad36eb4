//! Shows a picture to the model.

use std::io::Read;
use std::time::Duration;

use shared::media_types::MAX_PICTURES;
use shared::runs::ErrorCode;
use shared::storage::StorageError;
use tokio::time::timeout;

use super::{Opened, ReadFile};
use crate::pictures::{MAX_BASE64_BYTES, MAX_INPUT_BYTES, PictureError, ShownPicture};
use crate::tools::files::{message_of, on_disk};
use crate::tools::{Invocation, Output, ToolError};
use crate::workspace::Workspace;

/// How long a call waits for memory for its picture. A run keeps that of its pictures until it ends, so runs
/// of one account could wait for each other.
const TURN_WITHIN: Duration = Duration::from_secs(30);

impl ReadFile {
    pub(super) async fn show(
        &self,
        invocation: &Invocation,
        workspace: &Workspace,
        path: &str,
        opened: Opened,
    ) -> Result<Output, ToolError> {
        let Opened { file, size, media_type, .. } = opened;
        let refuse = |why: &str| {
            let what = format!("{path:?} is a picture ({media_type}, {size} bytes)");
            Err(ToolError::RespondToModel(format!("{what}. {why}")))
        };
        let Some(left) = &invocation.pictures_left else {
            return refuse("You cannot see pictures. A program can read it, for example Python with Pillow.");
        };
        if size > MAX_INPUT_BYTES {
            return refuse(
                "It is too large to be shown: make it smaller with a program and read the result.",
            );
        }
        if !left.has_room() {
            return refuse(&no_room());
        }
        let sizes = [size];
        let taking = timeout(TURN_WITHIN, self.pictures.turn(left.account, &sizes));
        let Ok(turn) = taking.await else {
            metrics::counter!("capi_pictures_total", "outcome" => "busy").increment(1);
            tracing::warn!(call_id = %invocation.id, "no memory for a picture in time");
            return refuse("The worker has no memory for it at the moment. Go on without it, or try later.");
        };
        let mut turn = turn.map_err(|error| not_shown(path, &error))?;
        let named = path.to_owned();
        let bytes = on_disk(workspace.tasks().clone(), move || {
            let mut bytes = Vec::new();
            let reading = file.take(size).read_to_end(&mut bytes);
            reading.map(|_| bytes).map_err(|error| message_of(&named, &error))
        });
        let ready = turn.ready(bytes.await?).await.map_err(|error| not_shown(path, &error))?;
        let picture = ready.picture();
        if !left.take(picture.base64.len()) {
            return refuse(&no_room());
        }
        let stored = ready.store(&self.store, invocation.run, path).await;
        let stored = stored.map_err(|error| not_stored(invocation, &error))?;
        let text = format!("[the picture ({media_type}, {size} bytes) is shown to you]");
        let memory = turn.end(picture.base64.len());
        Ok(Output { picture: Some(ShownPicture { stored, picture, memory }), ..Output::of_text(text) })
    }
}

fn no_room() -> String {
    format!(
        "A run shows at most {MAX_PICTURES} pictures, and {} MiB of them. Go on with what you saw; a program \
         can still read it, for example Python with Pillow.",
        MAX_BASE64_BYTES >> 20
    )
}

fn not_shown(path: &str, error: &PictureError) -> ToolError {
    let why = match error {
        PictureError::Refused(refusal) => format!(
            "{path:?} cannot be shown: {refusal}. A program may be able to convert it, for example Python \
             with Pillow."
        ),
        PictureError::Unavailable(cause) => {
            tracing::error!(cause, "failed to start or to ask picture-reader");
            format!("{path:?} was not shown: the worker could not read the picture. Go on without it.")
        }
        PictureError::Store(error) => {
            tracing::error!(%error, "failed to read a picture for a model");
            format!("{path:?} was not shown: the worker could not read the picture. Go on without it.")
        }
    };
    ToolError::RespondToModel(why)
}

/// Without the stored picture, a later attempt could not show the same one.
fn not_stored(invocation: &Invocation, error: &StorageError) -> ToolError {
    tracing::error!(%error, call_id = %invocation.id, "failed to store a picture for a model");
    if matches!(error, StorageError::Full(_)) {
        metrics::counter!("capi_artifact_store_full_total").increment(1);
        let why = "The picture was not shown: this installation has no space left for files.";
        return ToolError::RespondToModel(why.to_owned());
    }
    metrics::counter!("capi_artifact_store_failures_total").increment(1);
    ToolError::Fatal(ErrorCode::ToolError, "the artifact store is not available".to_owned())
}
