//! What the tasks of a dispatcher share. `start` builds it once.

use std::sync::Arc;

use shared::batch::Batch;
use shared::encryption::EncryptionKey;
use shared::lifecycle::Lifecycle;

use crate::client::WebhookClient;
use crate::record::Recording;
use crate::take::{Taker, TakingNext};

pub struct Context {
    pub client: WebhookClient,
    /// Decrypts the signing secrets.
    pub secret_key: EncryptionKey,
    pub taker: Arc<Taker>,
    /// Takes the next delivery of a lane.
    pub next: Batch<TakingNext>,
    /// Records results.
    pub records: Batch<Recording>,
    pub lifecycle: Lifecycle,
}
