//! A real dashboard in a real browser, beside a load.

use crate::{options::Options, target::App};
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A browser that has the dashboard open, and looks at how long its tasks take until it is asked.
#[derive(Debug)]
pub(crate) struct Page {
    program: Child,
    printed: BufReader<ChildStdout>,
}

impl Page {
    /// Opens it, and waits until a conversation is before it: what that takes is another figure.
    pub(crate) async fn open(options: &Options, server: SocketAddr, app: &App) -> Result<Self> {
        let script = options.page_script.clone();
        let mut program = Command::new("node")
            .arg(&script)
            .arg(format!("http://{server}"))
            .args([&app.app_id, &app.admin_token])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", script.display()))?;
        let printed = BufReader::new(program.stdout.take().context("its output")?);
        tokio::task::spawn_blocking(move || {
            let mut page = Self { program, printed };
            let mut line = String::new();
            page.printed.read_line(&mut line)?;
            ensure!(line.trim() == "ready", "the dashboard did not open");
            Ok(page)
        })
        .await?
    }

    /// The longest task of the page since it was open, in milliseconds; 0 is none that browsers tell of, which is 50 ms.
    pub(crate) async fn longest_task(mut self) -> Result<f64> {
        // It ends when there is nothing more to read.
        drop(self.program.stdin.take());
        tokio::task::spawn_blocking(move || {
            let mut printed = String::new();
            self.printed.read_to_string(&mut printed)?;
            let status = self.program.wait()?;
            ensure!(status.success(), "the dashboard ended with {status}");
            printed.trim().parse().with_context(|| format!("the dashboard said {printed:?}"))
        })
        .await?
    }
}
