//! The names of the tools that an app may list. The gateway rejects other names on import. A test of the
//! worker compares this list with its tools.

/// The tool that needs a search provider.
pub const WEB_SEARCH: &str = "web_search";

/// Sorted.
pub const TOOLS: [&str; 10] = [
    "current_time",
    "edit_file",
    "fetch_url",
    "list_files",
    "python",
    "read_file",
    "save_artifact",
    "shell",
    WEB_SEARCH,
    "write_file",
];

/// The tools that can read input files.
pub const FILE_READERS: [&str; 4] = ["python", "read_file", "save_artifact", "shell"];

/// The tools whose programs can open a picture for a model that does not see it.
pub const PICTURE_OPENERS: [&str; 2] = ["python", "shell"];
