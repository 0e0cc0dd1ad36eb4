//! Functions of the browser that WebDriver has no commands for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use super::Browser;

impl Browser {
    /// Sets the size of the viewport. A window has a least width; a viewport has none.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sets whether pages see that the user prefers dark colours.
    pub async fn emulate_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Disconnects the network, or connects it again.
    pub async fn set_offline(&self, offline: bool) {
        let conditions =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// A picture of the whole page, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let size = &self.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.devtools("Page.captureScreenshot", wanted).await;
        BASE64_STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("a picture")
    }

    /// Errors on the console since the last call: of scripts, and of resources that did not load.
    pub async fn console_errors(&self) -> Vec<String> {
        let log = self.vendor("se/log", json!({ "type": "browser" })).await;
        let severe = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        severe.filter_map(|entry| Some(entry["message"].as_str()?.to_owned())).collect()
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.vendor("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    pub(super) async fn vendor(&self, path: &'static str, body: Value) -> Value {
        let outcome = self.client.issue_cmd(Vendor { path, body: body.to_string() }).await;
        outcome.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }
}

/// A command that WebDriver itself does not have.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: String,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.clone()))
    }
}
