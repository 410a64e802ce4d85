//! The dashboard's pages: built, checked, and used in a browser.

use std::process::Command;

use anyhow::Result;

use crate::clients::Shared;
use crate::{demo, tool};

/// The oldest Node that builds the pages.
const OLDEST_NODE: u32 = 20;

/// Languages that people write in the tests, and the packages whose fonts have them.
const FONTS: [(&str, &str); 3] =
    [("ar", "fonts-noto-core"), ("ja", "fonts-noto-cjk"), ("und-zsye", "fonts-noto-color-emoji")];

/// Installs what the pages are built with, builds them into `web/dist`, and compares what they weigh with what they may.
pub(crate) fn build() -> Result<()> {
    install()?;
    npm(&["run", "--silent", "build"])
}

/// Types, rules and unit tests, without a browser.
pub(crate) fn check() -> Result<()> {
    install()?;
    npm(&["run", "--silent", "check"])?;
    npm(&["run", "--silent", "test"])
}

/// Installs the browser of the browser tests, letters for all that they write, and what drives it.
pub(crate) fn install_browser() -> Result<()> {
    provision::debian_program("chromium", "chromium")?;
    provision::debian_program("fc-list", "fontconfig")?;
    for (language, package) in FONTS {
        let fonts = Command::new("fc-list").arg(format!(":lang={language}")).output()?;
        if fonts.stdout.is_empty() {
            provision::debian_packages(&[package])?;
        }
    }
    provision::node_packages(&tool::root().join("tests/web"), OLDEST_NODE)
}

/// The browser tests, on the server as `cargo build` has made it; with what its nodes share, where there are several.
pub(crate) fn browser(shared: &Shared) -> Result<()> {
    let target = tool::target_dir()?;
    tool::run(
        shared
            .told_to(Command::new("node").args(["--test", "--test-concurrency=1"]))
            .current_dir(tool::root().join("tests/web"))
            .env("REPLYHQ_BINARY", target.join("debug/replyhq"))
            .env("REPLYHQ_SHOTS", target.join("dashboard-shots")),
    )
}

/// Makes the pictures in `docs/pictures`, of the server as it is now with a shop in it.
pub(crate) fn shots() -> Result<()> {
    install_browser()?;
    // Its people wrote in the course of a day.
    provision::debian_program("faketime", "faketime")?;
    build()?;
    demo::c_compiler()?;
    tool::run(&mut tool::cargo(["build", "--locked", "-p", "server", "--bin", "replyhq"]))?;
    let pictures = tool::root().join("docs/pictures");
    tool::run(
        Command::new("node")
            .arg("shots.js")
            .current_dir(tool::root().join("tests/web"))
            .env("REPLYHQ_BINARY", tool::target_dir()?.join("debug/replyhq"))
            .env("REPLYHQ_PICTURES", pictures),
    )
}

fn install() -> Result<()> {
    provision::node_packages(&tool::root().join("web"), OLDEST_NODE)
}

fn npm(arguments: &[&str]) -> Result<()> {
    tool::run(Command::new("npm").args(arguments).current_dir(tool::root().join("web")))
}
