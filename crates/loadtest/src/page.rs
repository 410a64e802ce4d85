//! A real dashboard in a real browser, beside a load.

use crate::{options::Options, target::App};
use anyhow::{Context, Result, ensure};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// A browser that has the dashboard open, and looks at how long its tasks take.
#[derive(Debug)]
pub(crate) struct Page(Child);

impl Page {
    /// Opens it for as long as the load is measured.
    pub(crate) fn open(options: &Options, server: SocketAddr, app: &App) -> Result<Self> {
        let program = Command::new("node")
            .arg(&options.page_script)
            .arg(format!("http://{server}"))
            .args([&app.app_id, &app.admin_token])
            .arg((options.warmup + options.seconds).to_string())
            .stdout(Stdio::piped())
            .spawn();
        Ok(Self(program.with_context(|| format!("starting {}", options.page_script.display()))?))
    }

    /// The longest task of the page, in milliseconds.
    pub(crate) async fn longest_task(self) -> Result<f64> {
        let output = tokio::task::spawn_blocking(move || self.0.wait_with_output()).await??;
        ensure!(output.status.success(), "the dashboard ended with {}", output.status);
        let printed = String::from_utf8_lossy(&output.stdout);
        printed.trim().parse().with_context(|| format!("the dashboard said {printed:?}"))
    }
}
