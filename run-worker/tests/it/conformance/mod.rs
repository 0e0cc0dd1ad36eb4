//! Odd servers: each case is a server that answers in a way that real ones do. The worker must end the run as
//! the case says, and all that it sends must be valid for a server that checks everything (`strict`).
//!
//! `CAPI_CONFORMANCE=words cargo test --test it conformance` runs only the cases with these words in their
//! names.

mod answers;
mod anthropic;
mod calls;
mod case;
mod chat;
mod context;
mod harness;
mod hostile;
mod llama_cpp;
mod refusals;
mod replay;
mod requests;
mod responses;
mod server;
mod streams;
mod strict;
mod structured;
mod usage;
