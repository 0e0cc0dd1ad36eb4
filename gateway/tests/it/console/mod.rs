//! The console without a browser: who may open what (K11), sessions, forms and streams.

mod access;
mod editing;
mod keys;
mod live;
mod quotas;
mod sessions;
mod sizes;
