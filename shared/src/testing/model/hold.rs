//! Streams that wait until the test releases them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::State;

/// Waits for [`ScriptedModel::release`] if `held`.
pub(super) async fn hold(state: Arc<State>, held: bool) -> String {
    if held {
        let (mut released, mut generation) = (state.released.subscribe(), state.generation.subscribe());
        let _holding = Holding::begin(state);
        tokio::select! {
            _ = released.wait_for(|released| *released) => {}
            _ = generation.changed() => {}
        }
    }
    String::from(": go\n\n")
}

/// Counts a held stream; dropped with the connection.
struct Holding(Arc<State>);

impl Holding {
    fn begin(state: Arc<State>) -> Self {
        state.holding.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.holding.fetch_sub(1, Ordering::SeqCst);
    }
}
