//! /docs: the contract for people. Nothing on these pages comes from anywhere else than this process.

pub mod problems;
mod reference;

pub use reference::{document, file, page};
