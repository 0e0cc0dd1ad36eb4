//! Takes a picture of every page of the console, light and dark, in a wide and a narrow window. It prints the
//! size and the first paint of each page. It fails if axe finds a fault, if a page is wider than its window,
//! or if the browser logs an error.
#![expect(clippy::print_stdout, reason = "the program prints a table")]
#![expect(clippy::expect_used, reason = "the program ends at a page that does not load")]

mod sample;
mod scene;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::Parser;
use e2e::Browser;
use e2e::console::EMAIL;

use scene::Scene;

/// Pictures of the console's pages. `make screenshots` sets the variables that it needs.
#[derive(Parser)]
struct Arguments {
    /// Directory for the pictures
    #[arg(long, default_value = ".local/screenshots")]
    to: PathBuf,
    /// Only pages whose name contains this text
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
    let scene = Scene::prepare().await;
    scene.sample.save_report(&arguments.to)?;
    let (mut found, mut pictures) = (Vec::new(), 0);
    println!("{:<20} {:>12} {:>14}", "page", "bytes", "first paint");
    for (size, width, height) in SIZES {
        let browser = Browser::start(width, height).await;
        for (name, path) in scene::PUBLIC_PAGES {
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
            open_long_run(&browser, &scene).await;
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
        browser.open(&scene.address_of(name, path)).await;
        let paint = browser.first_paint().await;
        let weight = browser.weight().await;
        if shade == "light" {
            println!("{:<20} {weight:>12} {paint:>11.0} ms", format!("{name}, {size}"));
        }
        scene.act(browser, name).await;
        let page_width = browser.eval("return document.documentElement.scrollWidth").await;
        let here = format!("{name}, {size}, {shade}");
        if page_width != width {
            found.push(format!("{here}: {page_width} pixels wide"));
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

/// Prints how long a run of 2,000 events takes to open. The bar is one second.
async fn open_long_run(browser: &Browser, scene: &Scene) {
    let mut took = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        browser.open(&format!("{}/runs/{}", scene.gateway.url(), scene::LONG)).await;
        browser.wait_for_text(".thread > li:last-child", "Completed").await;
        took.push(begun.elapsed());
    }
    took.sort();
    println!("a run of 2,000 events opens, median of 5: {:?}", took[2]);
}
