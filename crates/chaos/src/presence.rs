//! Whether every node shows who is connected, and nobody else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::board::Board;
use crate::options::Contender;
use crate::rest;
use crate::site::App;
use crate::socket::{Login, Packet, Socket};

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(100);

/// Devices of each app that each node is asked about one by one.
const DEVICES: usize = 50;

/// Sessions on one page, at most.
const PAGE: usize = 500;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How what is shown differs from what is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) ghosts: u64,
    pub(crate) absent: u64,
    pub(crate) example: String,
}

/// Waits until all nodes show the truth about all apps, and agents were told it. The answer is the time at which they did, or
/// how they still differ after `limit`.
pub(crate) async fn agreed(
    board: &Board,
    contender: Contender,
    limit: Duration,
) -> Result<Instant, Difference> {
    let until = Instant::now() + limit;
    loop {
        let looked_at = Instant::now();
        let difference = look(board, contender).await;
        match difference {
            Ok(difference) if difference == Difference::default() => return Ok(looked_at),
            Ok(difference) if Instant::now() > until => return Err(difference),
            Err(error) if Instant::now() > until => {
                let example = format!("sessions can't be listed: {error:#}");
                return Err(Difference { absent: 1, example, ..Difference::default() });
            }
            _ => sleep(EVERY).await,
        }
    }
}

async fn look(board: &Board, contender: Contender) -> Result<Difference> {
    let mut worst = Difference::default();
    for (index, app) in board.apps.iter().enumerate() {
        for (node, front) in board.fronts.iter().enumerate() {
            let shown = sessions(*front, app).await.with_context(|| format!("on node {node}"))?;
            let is = board.connections(index);
            let ghosts = shown.difference(&is).count() as u64;
            let absent = is.difference(&shown).count() as u64;
            worst.add(ghosts, absent, || {
                format!("node {node} shows {:?} too many", shown.difference(&is).collect::<Vec<_>>())
            });
            if contender == Contender::Replyhq && ghosts + absent == 0 {
                for (device_id, count) in board.devices(index).into_iter().take(DEVICES) {
                    let path = format!("/v1/admin/devices/{device_id}/presence");
                    let presence = rest::as_agent(*front, app, &path).await?;
                    let shown = presence["active_connections"].as_u64().unwrap_or(0);
                    let is_right = presence["is_online"] == (count > 0);
                    let ghosts = shown.saturating_sub(count) + u64::from(!is_right);
                    worst.add(ghosts, count.saturating_sub(shown), || {
                        format!("node {node} shows {device_id} as {presence}, and it has {count} connections")
                    });
                }
            }
        }
        if contender == Contender::Replyhq
            && worst.ghosts + worst.absent == 0
            && let Some(wrong) = board.wrongly_told(index)
        {
            worst.add(1, 0, || wrong);
        }
    }
    Ok(worst)
}

impl Difference {
    fn add(&mut self, ghosts: u64, absent: u64, example: impl FnOnce() -> String) {
        if ghosts + absent > 0 && self.example.is_empty() {
            self.example = example();
        }
        self.ghosts += ghosts;
        self.absent += absent;
    }
}

/// The ids of all connections that a node lists.
async fn sessions(front: SocketAddr, app: &App) -> Result<BTreeSet<String>> {
    let mut socket = Socket::connect(front, &Login::Agent, app).await?;
    let mut all = BTreeSet::new();
    loop {
        let after: Option<&String> = all.last();
        let page = json!({ "app_id": app.app_id, "limit": PAGE, "after": after });
        let ask = socket.ask("sessions:list", &page).await?;
        let answer = timeout(ANSWER_LIMIT, answer(&mut socket, ask)).await.context("no answer in time")??;
        anyhow::ensure!(answer["success"] == true, "sessions:list: {answer}");
        let sessions = answer["sessions"].as_array().context("no sessions")?;
        let ids = sessions.iter().filter_map(|session| session["connection_id"].as_str());
        all.extend(ids.map(str::to_owned));
        if answer["has_more"] != true {
            break;
        }
    }
    socket.close().await;
    Ok(all)
}

async fn answer(socket: &mut Socket, ask: u64) -> Result<Value> {
    loop {
        if let Packet::Ack(id, answer) = socket.next().await?
            && id == ask
        {
            return Ok(answer);
        }
    }
}
