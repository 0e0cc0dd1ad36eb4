//! The part of the descriptions of `shell` and `python` that is the same: what lasts, where files are, and
//! that there is no network. A model that does not know it loses steps.

use crate::sandbox::Kit;

/// What is where.
pub(super) const PLACES: &str = "The working directory /workspace stays from call to call: save there what \
     you need later. /tmp, variables and background processes end with the script. The caller's files are in \
     inputs/ (read-only; a copy can be changed).";

/// What is not there.
pub(super) const NETWORK: &str = "There is no network: nothing can be downloaded or installed. A server on \
     127.0.0.1 works within one script.";

/// The programs of the kit, as a sentence with a space in front.
pub(super) fn programs(kit: Option<&Kit>) -> String {
    let named = kit.and_then(Kit::programs);
    named.map_or_else(String::new, |named| format!(" Beside the usual programs there are {named}."))
}
