//! What the tasks of a dispatcher share. `start` builds it once.

use std::sync::Arc;

use shared::db::Db;
use shared::encryption::EncryptionKey;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;
use shared::runs::Viewer;
use tokio::sync::Semaphore;

use crate::client::WebhookClient;
use crate::shares::Shares;

pub struct Context {
    pub db: Db,
    pub publisher: Publisher,
    pub client: WebhookClient,
    /// Decrypts the signing secrets.
    pub secret_key: EncryptionKey,
    /// Renders a run as the API shows it.
    pub viewer: Viewer,
    /// One for each request in flight.
    pub permits: Arc<Semaphore>,
    pub shares: Arc<Shares>,
    /// The name of this process in leases and logs.
    pub dispatcher: String,
    pub lifecycle: Lifecycle,
}
