//! Pictures that a tool shows to the model. They are stored as the model is sent them. So a later attempt
//! sends the same bytes, although the file in the workspace may have changed since then.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine};
use model_client::Picture;
use shared::ids::RunId;
use shared::runs::events::StoredPicture;
use shared::storage::{Artifacts, ObjectKey, StorageError, hex};

use super::{MAX_READY_BYTES, PictureError, PictureMemory, Refusal, Turn, fetch_object};

/// A picture as a model is sent it.
#[derive(Debug)]
pub struct ReadyPicture {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// A picture that a tool showed: what the log names, what the model is sent, and its memory.
#[derive(Debug)]
pub struct ShownPicture {
    pub stored: StoredPicture,
    pub picture: Picture,
    pub memory: PictureMemory,
}

impl ReadyPicture {
    #[must_use]
    pub fn picture(&self) -> Picture {
        Picture {
            media_type: self.media_type.clone(),
            base64: Arc::from(BASE64_STANDARD.encode(&self.bytes)),
        }
    }

    /// Stores it under its hash. `name` is the path of the file.
    pub async fn store(
        &self,
        store: &Artifacts,
        run: RunId,
        name: &str,
    ) -> Result<StoredPicture, StorageError> {
        let sha256 = hex(digest(&SHA256, &self.bytes).as_ref());
        let mut upload = store.upload(&ObjectKey::shown_picture(run, &sha256)).await?;
        upload.write(&self.bytes).await?;
        let size = upload.finish().await?.size;
        Ok(StoredPicture { name: name.to_owned(), media_type: self.media_type.clone(), size, sha256 })
    }
}

impl Turn<'_> {
    /// A picture that an earlier attempt stored.
    pub async fn of_stored(
        &mut self,
        store: &Artifacts,
        run: RunId,
        stored: &StoredPicture,
    ) -> Result<Picture, PictureError> {
        let StoredPicture { media_type, size, sha256, .. } = stored;
        if *size > MAX_READY_BYTES as u64 {
            return Err(Refusal::TooMuchMemory.into());
        }
        let bytes = fetch_object(store, &ObjectKey::shown_picture(run, sha256), *size, sha256).await?;
        Ok(ReadyPicture { media_type: media_type.clone(), bytes }.picture())
    }
}
