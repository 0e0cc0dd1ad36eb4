//! The names of the tools that an app may list. The gateway refuses all others on import, the run-worker has one file for
//! each: a test there compares the two.

/// All names, in alphabetical order.
pub const TOOLS: [&str; 9] = [
    "current_time",
    "edit_file",
    "fetch_url",
    "list_files",
    "python",
    "read_file",
    "save_artifact",
    "shell",
    "write_file",
];

/// Those that can look at files which a run's caller gives.
pub const FILE_READERS: [&str; 4] = ["python", "read_file", "save_artifact", "shell"];
