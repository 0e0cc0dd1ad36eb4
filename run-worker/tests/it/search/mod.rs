//! Searches: each provider in its documented form, the quota, the local provider, and runs that search.

mod local;
mod providers;
mod runs;
