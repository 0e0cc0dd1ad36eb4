//! Adds up nudges of the same id, so that a backlog of one user is one message and one place in a statement.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use uuid::Uuid;

use super::Nudge;

/// Nudges with distinct ids, in the order in which the ids came first.
#[derive(Debug, Default)]
pub(super) struct Coalesced {
    nudges: Vec<Nudge>,
    places: HashMap<Uuid, usize>,
}

impl Coalesced {
    /// Returns true if the nudge was added to an earlier one.
    pub(super) fn add(&mut self, nudge: Nudge) -> bool {
        match self.places.entry(nudge.id) {
            Entry::Occupied(place) => {
                let earlier = &mut self.nudges[*place.get()];
                *earlier = Nudge::times(nudge.id, earlier.count.saturating_add(nudge.count));
                true
            }
            Entry::Vacant(place) => {
                place.insert(self.nudges.len());
                self.nudges.push(nudge);
                false
            }
        }
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.nudges.len()
    }

    pub(super) fn into_nudges(self) -> Vec<Nudge> {
        self.nudges
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::MAX_COUNT;
    use super::*;

    #[test]
    fn counts_are_added_in_the_order_of_the_first_arrival() {
        let [first, second] = [Uuid::from_u128(9), Uuid::from_u128(1)];
        let mut all = Coalesced::default();
        assert!(!all.add(Nudge::new(first)));
        assert!(!all.add(Nudge::times(second, 5)));
        assert!(all.add(Nudge::times(first, 3)));
        assert!(all.contains(second) && !all.contains(Uuid::nil()));
        assert!(all.add(Nudge { id: second, count: u32::MAX }));
        assert_eq!(all.len(), 2);
        assert_eq!(all.into_nudges(), [Nudge::times(first, 4), Nudge::times(second, MAX_COUNT)]);
    }
}
