//! Who is asking: the key's form, and the one statement that checks it.

mod admit;
mod api_key;
mod caller;

pub use admit::{Admission, Window, admit};
pub use api_key::ApiKey;
pub use caller::Caller;
