//! What the tasks of a dispatcher share. Built once, in `start`.

use shared::db::Db;
use shared::encryption::EncryptionKey;
use shared::lifecycle::Lifecycle;
use shared::queue::Publisher;
use shared::runs::Viewer;

use crate::client::WebhookClient;

/// The context of one dispatcher process.
pub struct Context {
    /// The truth.
    pub db: Db,
    /// The way to the other dispatchers.
    pub publisher: Publisher,
    /// The only way to user URLs.
    pub client: WebhookClient,
    /// Opens the signing secrets.
    pub secret_key: EncryptionKey,
    /// Shows the run.
    pub viewer: Viewer,
    /// This process, in rows and logs.
    pub dispatcher: String,
    /// Whether the process is stopping, and the tasks it waits for.
    pub lifecycle: Lifecycle,
}
