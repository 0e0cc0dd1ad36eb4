//! Property tests over hostile texts. Each has a corpus in tests/corpora, which it tries first: inputs that
//! once did harm, and inputs like them. A new input that fails is added to the corpus.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

/// Generated inputs of a test in `make test`. `make fuzz` sets CAPI_PROPERTY_CASES.
const CASES: u32 = 24;

/// Checks every input of the corpus, and generated ones.
pub fn check_inputs(
    corpus: &str,
    inputs: impl Strategy<Value = String>,
    check: impl Fn(&str) -> Result<(), String>,
) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpora").join(corpus);
    let files = std::fs::read_dir(&dir).expect("the corpus is a folder of tests/corpora");
    for file in files {
        let path = file.expect("the folder is read").path();
        let input = std::fs::read_to_string(&path).expect("the file is text");
        check(&input).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }
    let cases = std::env::var("CAPI_PROPERTY_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: cases.unwrap_or(CASES), failure_persistence: None, ..Config::default() };
    let failed = TestRunner::new(config).run(&inputs, |input| check(&input).map_err(TestCaseError::fail));
    match failed {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => {
            let path = dir.join(format!("found-{}.txt", uuid::Uuid::now_v7().simple()));
            std::fs::write(&path, input).expect("the corpus is writable");
            panic!("{why}; the input is in {}", path.display());
        }
        Err(error) => panic!("{error}"),
    }
}

/// Texts of at most `most` bytes that repeat some of these parts up to thousands of times, so that they nest
/// and chain deeply.
pub fn repeated(parts: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let piece = (proptest::sample::select(parts), 0_u32..14).prop_flat_map(|(part, log)| {
        let most = 1_usize << log;
        (Just(part), 1..=most)
    });
    proptest::collection::vec(piece, 1..24).prop_map(move |pieces| {
        let mut text = String::new();
        for (part, times) in pieces {
            let room = most.saturating_sub(text.len()) / part.len().max(1);
            text.push_str(&part.repeat(times.min(room)));
        }
        text
    })
}
