//! The console in a real browser. What needs no browser is in gateway/tests/it/console.

mod editing;
mod hostile;
mod keyboard;
mod live;
mod story;
mod weight;
