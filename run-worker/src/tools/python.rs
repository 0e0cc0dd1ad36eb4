//! `python`: a Python script in the run's sandbox, with the packages of the kit (deploy/sandbox/kit.toml).

use std::fmt::Write as _;
use std::sync::Arc;

use super::script::Script;
use super::surroundings::{NETWORK, PLACES};
use crate::sandbox::{Interpreter, Kit, Sandbox};

pub(super) fn python(sandbox: Arc<Sandbox>) -> Script {
    let description = description(sandbox.kit());
    Script::new(sandbox, Interpreter::Python, "python", description)
}

fn description(kit: Option<&Kit>) -> String {
    let mut text = format!("Runs a Python 3 script. {PLACES} {NETWORK}");
    if let Some(kit) = kit {
        let _ = write!(text, " There is {}. matplotlib draws into files.", kit.packages());
        if let Some(fonts) = kit.fonts() {
            let _ = write!(text, " Fonts: {fonts}; matplotlib takes missing characters from them by itself.");
        }
        if let Some(font) = kit.pdf_font() {
            let _ = write!(
                text,
                " For PDFs, reportlab has the registered font \"CJK\" ({font}): Latin, Chinese, Japanese and \
                 Korean; its own fonts have Latin only."
            );
        }
    }
    text + " Returns the exit code and what was printed: print what you want to see."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::test_kit;

    #[test]
    fn the_description_says_what_the_sandbox_has() {
        let told = description(Some(&test_kit()));
        for part in [
            "There is no network",
            "Python 3.11.2 with numpy (arrays), docx (DOCX)",
            "Fonts: Any (Latin)",
            "(/opt/python/fonts/cjk.ttf)",
            "print what you want to see",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!description(None).contains("Fonts"));
    }
}
