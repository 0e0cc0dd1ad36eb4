//! Reading a page, and what a user does on it.

use fantoccini::Locator;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::error::CmdError;
use serde_json::Value;

use super::{Browser, Element};

const AXE: &str = "
    const runOnly = ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'];
    const { violations } = await axe.run(document, { runOnly, preload: false });
    const targets = (nodes) => nodes.map((node) => node.target.flat().join(' ')).join(', ');
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${targets(nodes)}`);";

const ACTIVE: &str = "
    const element = document.activeElement;
    const id = element.id && `#${element.id}`, name = element.name ? `[name=${element.name}]` : '';
    return `${element.localName}${id}${name} ${element.innerText.trim()}`.trim();";

impl Browser {
    /// Waits for an element; the first one.
    pub async fn find(&self, css: &str) -> Element {
        self.within(css, async || self.client.find(Locator::Css(css)).await.map(Some)).await
    }

    /// The number of elements now.
    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.expect("a selector").len()
    }

    /// The visible text of the first element.
    pub async fn text(&self, css: &str) -> String {
        self.within(css, async || self.client.find(Locator::Css(css)).await?.text().await.map(Some)).await
    }

    /// Waits until one of the elements shows this text.
    pub async fn wait_for_text(&self, css: &str, needle: &str) {
        self.within(&format!("{css} with {needle:?}"), async || self.with_text(css, needle).await).await;
    }

    /// Clicks the first element.
    pub async fn click(&self, css: &str) {
        self.within(css, async || self.client.find(Locator::Css(css)).await?.click().await.map(Some)).await;
    }

    /// Clicks the first of the elements that shows this text.
    pub async fn click_text(&self, css: &str, text: &str) {
        self.within(&format!("{css} with {text:?}"), async || match self.with_text(css, text).await? {
            Some(element) => element.click().await.map(Some),
            None => Ok(None),
        })
        .await;
    }

    /// Accepts the page's dialog.
    pub async fn say_yes(&self) {
        self.within("a question", async || self.client.accept_alert().await.map(Some)).await;
    }

    /// Replaces the value of a field by typing.
    pub async fn fill(&self, css: &str, value: &str) {
        self.within(css, async || {
            let field = self.client.find(Locator::Css(css)).await?;
            field.clear().await?;
            field.send_keys(value).await.map(Some)
        })
        .await;
    }

    /// Clicks the first button that submits the form.
    pub async fn submit(&self, form: &str) {
        let buttons = "button:not([type=button], [type=reset]), input:is([type=submit], [type=image])";
        self.click(&format!(":is({form}) :is({buttons})")).await;
    }

    /// Presses keys and releases them: `[Key::Tab]`, `[Key::Shift, Key::Tab]`, `['a']`.
    pub async fn press<K: Copy + Into<char>>(&self, keys: &[K]) {
        let down = keys.iter().map(|&key| KeyAction::Down { value: key.into() });
        let up = keys.iter().rev().map(|&key| KeyAction::Up { value: key.into() });
        let actions = down.chain(up).fold(KeyActions::new("keyboard".to_owned()), KeyActions::then);
        self.client.perform_actions(actions).await.expect("keys can be pressed");
    }

    /// The element that has the focus: `a#id[name=…] text`.
    pub async fn active(&self) -> String {
        self.eval(ACTIVE).await.as_str().unwrap_or_default().to_owned()
    }

    /// The result of a function with this body.
    pub async fn eval(&self, body: &str) -> Value {
        let outcome = self.client.execute(body, Vec::new()).await;
        outcome.unwrap_or_else(|error| panic!("a script fails: {error}"))
    }

    /// The same for an async function.
    pub async fn eval_async(&self, body: &str) -> Value {
        self.eval(&format!("return (async () => {{ {body}\n }})()")).await
    }

    /// The faults that axe finds on the page: `id: help: selectors`. `source` is the source of axe.
    pub async fn axe(&self, source: &str) -> Vec<String> {
        self.eval(source).await;
        serde_json::from_value(self.eval_async(AXE).await).expect("a list of texts")
    }

    async fn with_text(&self, css: &str, needle: &str) -> Result<Option<Element>, CmdError> {
        for element in self.client.find_all(Locator::Css(css)).await? {
            if element.text().await?.contains(needle) {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }
}
