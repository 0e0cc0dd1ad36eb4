//! Pictures are drawn, turned and shown.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::Stack;
use serde_json::{Value, json};

use super::services::Services;
use super::{program, python, read, save};
use crate::kit::Kit;

const SALES: &str = "地域,売上\n東京,30\n大阪,12\n上海,9\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_has_chinese_and_japanese_labels() {
    let (services, kit) = (Services::start().await, Kit::new());
    let calls =
        [read("inputs/売上.csv"), python(program!("call/chart")), save("chart.png"), save("characters.png")];
    let ended = services.run(&[("売上.csv", SALES.as_bytes())], &calls).await;
    ended.told[0].has(&["東京,30"]);
    ended.told[1].has(&["exit code 0", "drawn"]);
    ended.told[1].lacks(&["missing from", "findfont", "Warning"]);
    let (kind, chart) = services.artifact(&ended.run, "chart.png").await;
    assert_eq!(kind, "image/png");
    let (_, characters) = services.artifact(&ended.run, "characters.png").await;
    let files: [(&str, &[u8]); 2] = [("chart.png", &chart), ("characters.png", &characters)];
    let opened = kit.open(program!("open/chart"), &files).await;
    assert_eq!((&opened["size"], &opened["different"]), (&json!([600, 400]), &3.into()), "boxes: {opened}");
    assert!(opened["colours"].as_u64() > Some(20) && opened["ink"].as_u64() > Some(100), "{opened}");
}

/// The pictures in a request of chat completions, as URLs.
fn pictures(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap();
    let parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    parts.filter_map(|part| Some(part["image_url"]["url"].as_str()?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_is_turned_and_made_small_and_the_model_sees_it() {
    let (stack, kit) = (Stack::unlimited().await, Kit::new());
    let models = stack.model.models_file().replacen("default = true", "default = true\nvision = true", 1);
    std::fs::write(stack.setting("CAPI_MODELS"), models).unwrap();
    let services = Services::start_in(stack).await;
    let photo = kit.make(program!("make/photo"), "photo.jpg").await;
    let calls = [python(program!("call/photo")), read("small.jpg"), save("small.jpg")];
    let ended = services.run(&[("photo.jpg", &photo)], &calls).await;
    ended.told[0].has(&["exit code 0", "orientation 6", "saved as (250, 400)"]);
    ended.told[1].has(&["picture", "image/jpeg"]);
    let asked = services.stack.model.asked();
    let shown: Vec<_> = asked.iter().map(|(_, request)| pictures(request)).collect();
    let counts: Vec<_> = shown.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 1, 2, 2], "the photo with the prompt, and the small one from its call on");
    let seen = shown[2].iter().find(|picture| !shown[0].contains(picture)).unwrap();
    let (_, seen) = seen.split_once("base64,").unwrap();
    let seen = BASE64_STANDARD.decode(seen).unwrap();
    let (kind, small) = services.artifact(&ended.run, "small.jpg").await;
    assert_eq!(kind, "image/jpeg");
    let opened = kit.open(program!("open/photo"), &[("small.jpg", &small), ("seen", &seen)]).await;
    let upright = json!({"size": [250, 400], "exif": 0, "red": ["upper left"]});
    assert_eq!(opened, json!({"small.jpg": upright, "seen": upright}));
}
