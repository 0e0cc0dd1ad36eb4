//! The names of the tools that an app may list. The gateway refuses all others on import, the run-worker has one file for
//! each: a test there compares the two.

/// All names, in alphabetical order.
pub const TOOLS: [&str; 3] = ["current_time", "fetch_url", "save_artifact"];
