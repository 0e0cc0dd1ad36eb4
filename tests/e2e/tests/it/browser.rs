//! The browser that tests of pages use: it does what its user would, and its checks can fail.

use e2e::{Browser, Cookie, Key, Service, Stack};
use serde_json::json;

const FORM: &str = "data:text/html,<html lang=en><title>Form</title><main><h1>Form</h1>
    <form id=order><label>Name <input name=name value=old></label> <button name=go>Order</button></form>
    <button type=button>One</button> <button type=button>Two</button>
    <p id=said></p><p id=late hidden>Here</p><div style='width:10px;height:3000px'></div></main>";

const REACTIONS: &str = "
    const say = (text) => { document.querySelector('#said').textContent = text; };
    order.onsubmit = (event) => { event.preventDefault(); say('ordered by ' + order.name.value); };
    for (const button of document.querySelectorAll('[type=button]')) button.onclick = () => \
    say(button.textContent);
    setTimeout(() => { late.hidden = false; }, 300);";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sees_the_problems_pages() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let browser = Browser::start(1280, 800).await;
    let url = format!("{}/docs/problems", gateway.url());
    browser.open(&url).await;
    assert_eq!(browser.text("h1").await, "Problems");
    browser.click_text("h2 a", "not_found").await;
    browser.wait_for_text("h1", "ound").await;
    assert_eq!(browser.url().await, format!("{url}/not_found"));
    assert_eq!(browser.count("section").await, 1);
    assert_eq!(browser.console_errors().await, [""; 0]);
    browser.eval("console.error('x')").await;
    let errors = browser.console_errors().await;
    assert!(errors.len() == 1 && errors[0].contains("\"x\""), "{errors:?}");

    browser.set_cookie("a", "b").await;
    let cookies = browser.cookies().await;
    assert_eq!(cookies.iter().map(Cookie::name_value).collect::<Vec<_>>(), [("a", "b")]);
    browser.clear_cookies().await;
    assert!(browser.cookies().await.is_empty());

    browser.set_offline(true).await;
    browser.click_text(".crumb a", "Problems").await;
    browser.wait_for_text("body", "ERR_INTERNET_DISCONNECTED").await;
    browser.set_offline(false).await;
    browser.refresh().await;
    assert_eq!(browser.text("h1").await, "Problems");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_does_what_its_user_does() {
    let browser = Browser::start(1280, 800).await;
    browser.open(FORM).await;
    browser.eval(REACTIONS).await;
    assert_eq!(browser.text("#said").await, "");
    browser.wait_for_text("p", "Here").await;
    browser.fill("[name=name]", "new").await;
    assert_eq!(browser.active().await, "input[name=name]");
    browser.press(&[Key::Tab]).await;
    assert_eq!(browser.active().await, "button[name=go] Order");
    browser.press(&[Key::Shift, Key::Tab]).await;
    browser.press(&[Key::End]).await;
    browser.press(&['!']).await;
    browser.press(&[Key::Enter]).await;
    assert_eq!(browser.text("#said").await, "ordered by new!");
    browser.fill("[name=name]", "other").await;
    browser.submit("#order").await;
    assert_eq!(browser.text("#said").await, "ordered by other");
    browser.click_text("button", "Two").await;
    assert_eq!(browser.text("#said").await, "Two");
    browser.click("[type=button]").await;
    assert_eq!(browser.text("#said").await, "One");

    let looks = "return [innerWidth, innerHeight, document.documentElement.clientWidth,
        matchMedia('(prefers-color-scheme: dark)').matches]";
    assert_eq!(browser.eval(looks).await, json!([1280, 800, 1280, false]));
    browser.resize(390, 844).await;
    browser.emulate_dark(true).await;
    browser.refresh().await;
    assert_eq!(browser.eval(looks).await, json!([390, 844, 390, true]));
    let picture = browser.screenshot().await;
    let side = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert!(side(16) == 390 && side(20) > 3000, "{} x {}", side(16), side(20));
    assert_eq!(browser.eval_async("return await Promise.resolve(1) // one").await, json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_checks_pages_that_allow_no_scripts() {
    let source = std::env::var("CAPI_AXE")
        .unwrap_or_else(|_| panic!("CAPI_AXE is not set; run the tests through `make test`"));
    let source = std::fs::read_to_string(source).unwrap();
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let browser = Browser::start(1280, 800).await;
    browser.open(&format!("{}/docs/problems", gateway.url())).await;
    assert_eq!(browser.axe(&source).await, [""; 0]);
    browser.eval("document.querySelector('h1').append(document.createElement('img'))").await;
    assert_eq!(browser.axe(&source).await, ["image-alt: Images must have alternative text: img"]);
    assert_eq!(browser.console_errors().await, [""; 0]);
}
