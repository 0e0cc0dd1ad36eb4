//! `shell`: a bash script in the run's sandbox.

use std::sync::Arc;

use super::script::Script;
use super::surroundings::{NETWORK, PLACES, programs};
use crate::sandbox::{Interpreter, Kit, Sandbox};

pub(super) fn shell(sandbox: Arc<Sandbox>) -> Script {
    let description = description(sandbox.kit());
    Script::new(sandbox, Interpreter::Bash, "shell", description)
}

fn description(kit: Option<&Kit>) -> String {
    let programs = programs(kit);
    format!("Runs a bash script. {PLACES} {NETWORK}{programs} Returns the exit code and what was printed.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::test_kit;

    #[test]
    fn the_description_says_what_the_sandbox_has() {
        let told = description(Some(&test_kit()));
        assert!(told.contains("no network") && told.contains("there are bash, sh. Returns"), "{told}");
        assert!(description(None).contains("one script. Returns"));
    }
}
