//! The console in a real browser, and its doors (K11).

mod doors;
mod editing;
mod hostile;
mod keyboard;
mod keys;
mod live;
mod sessions;
mod story;
mod weight;
