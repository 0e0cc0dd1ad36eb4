//! A picture of every page of the console in light and dark, wide and narrow; and for each what axe finds, what it weighs, and when its
//! first paint was. It fails where axe finds anything, a page is wider than its window, or the browser's console has an error.
#![expect(clippy::print_stdout, reason = "the table is the answer")]
#![expect(clippy::expect_used, reason = "a page that cannot be shown ends it")]

mod scene;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::Parser;
use e2e::Browser;
use e2e::console::EMAIL;

use scene::Scene;

/// Pictures of the console's pages. Needs the test services and CAPI_AXE, as `make screenshots` sets them.
#[derive(Parser)]
struct Arguments {
    /// Directory that they are written to.
    #[arg(long, default_value = ".local/screenshots")]
    to: PathBuf,
    /// Only pages whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

const SIZES: [(&str, u32, u32); 2] = [("wide", 1440, 900), ("narrow", 390, 844)];
const SHADES: [(&str, bool); 2] = [("light", false), ("dark", true)];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let axe = std::fs::read_to_string(std::env::var("CAPI_AXE")?)?;
    std::fs::create_dir_all(&arguments.to)?;
    let scene = Scene::set().await;
    let (mut found, mut pictures) = (Vec::new(), 0);
    println!("{:<20} {:>12} {:>14}", "page", "bytes", "first paint");
    for (size, width, height) in SIZES {
        let browser = Browser::start(width, height).await;
        for (name, path) in scene::OPEN_PAGES {
            pictures +=
                shoot(&arguments, &browser, &scene, (size, width), (name, path), &axe, &mut found).await?;
        }
        scene.stack.sign_in(&browser, &scene.gateway, EMAIL).await;
        for (name, path) in scene.pages() {
            pictures +=
                shoot(&arguments, &browser, &scene, (size, width), (name, &path), &axe, &mut found).await?;
        }
        browser.clear_cookies().await;
        scene.stack.sign_in(&browser, &scene.gateway, scene::FRESH).await;
        for (name, path) in scene::EMPTY_PAGES {
            pictures +=
                shoot(&arguments, &browser, &scene, (size, width), (name, path), &axe, &mut found).await?;
        }
        browser.clear_cookies().await;
        scene.stack.sign_in(&browser, &scene.gateway, EMAIL).await;
        if size == "wide" {
            long_thread(&browser, &scene).await;
        }
    }
    println!("{pictures} pictures in {}", arguments.to.display());
    ensure!(found.is_empty(), "{} fault(s):\n{}", found.len(), found.join("\n"));
    Ok(())
}

async fn shoot(
    arguments: &Arguments,
    browser: &Browser,
    scene: &Scene,
    (size, width): (&str, u32),
    (name, path): (&str, &str),
    axe: &str,
    found: &mut Vec<String>,
) -> anyhow::Result<usize> {
    if !name.contains(&arguments.only) {
        return Ok(0);
    }
    for (shade, dark) in SHADES {
        browser.emulate_dark(dark).await;
        browser.open(&format!("{}{path}", scene.gateway.url())).await;
        let paint = browser.first_paint().await;
        let weight = browser.weight().await;
        if shade == "light" {
            println!("{:<20} {weight:>12} {paint:>11.0} ms", format!("{name}, {size}"));
        }
        scene.act(browser, name).await;
        let seen = browser.eval("return document.documentElement.scrollWidth").await;
        let here = format!("{name}, {size}, {shade}");
        if seen != width {
            found.push(format!("{here}: {seen} pixels wide"));
        }
        found.extend(browser.axe(axe).await.into_iter().map(|fault| format!("{here}: {fault}")));
        let errors = browser
            .console_errors()
            .await
            .into_iter()
            .filter(|error| name != "not-found" || !error.contains("404"));
        found.extend(errors.map(|error| format!("{here}: {error}")));
        std::fs::write(arguments.to.join(format!("{name}-{size}-{shade}.png")), browser.screenshot().await)?;
    }
    Ok(SHADES.len())
}

/// The bar: 2,000 events open within a second.
async fn long_thread(browser: &Browser, scene: &Scene) {
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        browser.open(&format!("{}/runs/{}", scene.gateway.url(), scene::LONG)).await;
        browser.wait_for_text(".thread > li:last-child", "Completed").await;
        took.push(begun.elapsed());
    }
    took.sort();
    println!("2,000 events opened, the middle of 5: {:?}", took[2]);
}
