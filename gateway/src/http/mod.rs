//! What the API and the console share over HTTP: the server, the layers around every request, errors and
//! their problems, how requests are read, and the guards in front of the database. It knows neither face.

pub mod admission;
pub mod connection;
pub mod download;
pub mod endpoint;
pub mod error;
pub(crate) mod event_stream;
pub mod extract;
pub mod large_body;
pub mod limits;
pub mod middleware;
pub mod multipart;
pub mod paths;
pub mod problems;
mod range;
pub mod server;

pub use error::ApiError;
