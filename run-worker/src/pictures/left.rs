//! What a run may still show its model. The calls of a step share it.

use std::sync::{Mutex, PoisonError};

use shared::ids::UserId;

/// The pictures that the model may still be shown.
#[derive(Debug)]
pub struct PicturesLeft {
    /// Whose run it is. An account reads one picture at a time.
    pub account: UserId,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    pictures: usize,
    /// As base64.
    bytes: usize,
}

impl PicturesLeft {
    #[must_use]
    pub const fn new(account: UserId, pictures: usize, bytes: usize) -> Self {
        Self { account, left: Mutex::new(Left { pictures, bytes }) }
    }

    /// Whether a small picture fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.pictures > 0 && left.bytes > 0
    }

    /// Takes a picture with so many bytes as base64. Returns false if it does not fit.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.pictures == 0 || left.bytes < bytes {
            return false;
        }
        left.pictures -= 1;
        left.bytes -= bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_taken_until_none_is_left() {
        let left = PicturesLeft::new(UserId::generate(), 2, 10);
        assert!(left.has_room() && !left.take(11) && left.take(6));
        assert!(!left.take(5) && left.take(4) && !left.has_room());
        assert!(!PicturesLeft::new(UserId::generate(), 0, 10).has_room());
    }
}
