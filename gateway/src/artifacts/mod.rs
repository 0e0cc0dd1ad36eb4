//! Files that runs published, for download.

pub mod download;
mod range;
