//! What the tasks of a dispatcher share. `start` builds it once.

use shared::db::Db;
use shared::encryption::EncryptionKey;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;
use shared::runs::Viewer;

use crate::client::WebhookClient;

pub struct Context {
    pub db: Db,
    pub publisher: Publisher,
    pub client: WebhookClient,
    /// Decrypts the signing secrets.
    pub secret_key: EncryptionKey,
    /// Renders a run as the API shows it.
    pub viewer: Viewer,
    /// The name of this process in leases and logs.
    pub dispatcher: String,
    pub lifecycle: Lifecycle,
}
