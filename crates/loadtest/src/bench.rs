//! What every mode works with: the running server, and the people who use it.

use crate::{
    http::Http,
    meter::Meter,
    options::Options,
    packet,
    socket::{Login, Route, Socket, traffic},
    target::{App, Running},
    usage,
};
use anyhow::{Context, Result, ensure};
use std::{rc::Rc, time::Duration};

/// One run of one mode.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    /// The command line.
    pub(crate) options: &'a Options,
    /// The server.
    pub(crate) running: &'a Running,
    /// Its apps.
    pub(crate) apps: &'a [App],
}

/// The processor seconds used in an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// How long the interval was.
    pub(crate) elapsed: f64,
    /// What was done in it.
    pub(crate) done: u64,
    /// What was delivered in it.
    pub(crate) delivered: u64,
    /// By the server.
    pub(crate) server: f64,
    /// By its Postgres and Redis.
    pub(crate) services: f64,
    /// By this tool: near the interval's length, the tool was what was measured.
    pub(crate) tool: f64,
    /// By everything on the machine, those who have no part in this included.
    pub(crate) machine: f64,
    /// Bytes that the tool's connections sent.
    pub(crate) sent: u64,
    /// Bytes that they received.
    pub(crate) received: u64,
}

/// Device number `index` of its kind, new at each start of the server.
pub(crate) fn device(app: &App, kind: &str, start: u32, index: usize) -> Login {
    Login::Device {
        app_id: app.app_id.clone(),
        device_id: format!("{kind}-{start}-{index}"),
        api_key: app.api_key.clone(),
    }
}

impl Work {
    /// What was done since an earlier reading.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            elapsed: self.elapsed - before.elapsed,
            done: self.done - before.done,
            delivered: self.delivered - before.delivered,
            server: self.server - before.server,
            services: self.services - before.services,
            tool: self.tool - before.tool,
            machine: self.machine - before.machine,
            sent: self.sent - before.sent,
            received: self.received - before.received,
        }
    }
}

impl Bench<'_> {
    /// The route of connection number `index`.
    pub(crate) fn route(&self, index: usize) -> Route {
        Route { wire: self.running.wire, ..Route::nth(self.running.address, index) }
    }

    /// The route of connection number `index` to the node that is not the senders', if there is one.
    pub(crate) fn far_route(&self, index: usize) -> Route {
        Route { wire: self.running.wire, ..Route::nth(self.running.far_address, index) }
    }

    /// A device that nobody has seen before.
    pub(crate) fn device(&self, app: &App, kind: &str, index: usize) -> Login {
        device(app, kind, self.running.start, index)
    }

    /// An agent of the app.
    pub(crate) fn agent(&self, app: &App) -> Login {
        Login::Agent { app_id: app.app_id.clone(), admin_token: app.admin_token.clone() }
    }

    /// A REST connection of the device.
    pub(crate) async fn http(&self, index: usize, device: &Login) -> Result<Http> {
        Http::connect(self.route(index), device.headers()).await
    }

    /// The device's conversation.
    pub(crate) async fn conversation(&self, index: usize, device: &Login) -> Result<String> {
        let mut http = self.http(index, device).await?;
        let answer = http.request("POST", "/v1/conversations", "{}").await?;
        let body = String::from_utf8_lossy(answer.body).into_owned();
        ensure!(matches!(answer.status, 200 | 201), "POST /v1/conversations: {} {body}", answer.status);
        let parsed: serde_json::Value = serde_json::from_str(&body)?;
        let id = parsed.pointer("/conversation/id").and_then(|id| id.as_str());
        Ok(id.with_context(|| format!("no conversation in {body}"))?.to_owned())
    }

    /// A connected device that is joined to its conversation.
    pub(crate) async fn joined_device(&self, route: Route, device: &Login) -> Result<Socket> {
        let mut socket = Socket::connect(route, device).await.context("a device")?;
        socket.event("conversation:joined").await?;
        Ok(socket)
    }

    /// A connected agent that is joined to the conversation.
    pub(crate) async fn joined_agent(
        &self,
        index: usize,
        agent: &Login,
        conversation: &str,
    ) -> Result<Socket> {
        let mut socket = Socket::connect(self.route(index), agent).await.context("an agent")?;
        let argument = format!("{{\"conversation_id\":\"{conversation}\"}}");
        socket.ask("conversation:join", &argument).await?;
        Ok(socket)
    }

    /// Warms up, then records for the given time, then tells the drivers to stop.
    pub(crate) async fn measure(&self, meter: &Rc<Meter>) -> Result<Work> {
        tokio::time::sleep(Duration::from_secs(self.options.warmup)).await;
        let before = self.reading(meter)?;
        meter.record();
        tokio::time::sleep(Duration::from_secs(self.options.seconds)).await;
        let after = self.reading(meter)?;
        meter.stop();
        Ok(after.since(&before))
    }

    /// How far the clocks and counters are.
    pub(crate) fn reading(&self, meter: &Meter) -> Result<Work> {
        let (server, services) = self.running.cpu_seconds()?;
        let own = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let tool = own.tv_sec as f64 + own.tv_nsec as f64 / 1e9;
        let elapsed = meter.now() as f64 / 1e9;
        let machine = usage::machine_seconds()?;
        let (sent, received) = traffic();
        Ok(Work {
            elapsed,
            done: meter.done(),
            delivered: meter.delivered(),
            server,
            services,
            tool,
            machine,
            sent,
            received,
        })
    }
}

/// Writes the sends of one connection: all but the number is the same every time.
#[derive(Debug)]
pub(crate) struct Envelope {
    namespace: &'static str,
    conversation: String,
    local_prefix: String,
    body: usize,
}

impl Envelope {
    /// Sends from `namespace` to the conversation, with bodies of so many characters.
    pub(crate) fn new(namespace: &'static str, conversation: &str, start: u32, body: usize) -> Self {
        Self { namespace, conversation: conversation.to_owned(), local_prefix: format!("load-{start}"), body }
    }

    /// The packet of message `number`, whose ack will bear the same number.
    pub(crate) fn packet(&self, number: u64) -> String {
        self.packet_asking(number, number)
    }

    /// The packet of message `number`, whose ack will bear another number: one connection may write into several
    /// conversations.
    pub(crate) fn packet_asking(&self, ack: u64, number: u64) -> String {
        format!(
            "42{},{ack}[\"message:send\",{{\"conversation_id\":\"{}\",\"local_id\":\"{}-{number}\",\"body\":\"{}\"}}]",
            self.namespace,
            self.conversation,
            self.local_prefix,
            packet::body(number, self.body)
        )
    }

    /// The name of message `number`, unique in its conversation.
    pub(crate) fn local_id(&self, number: u64) -> String {
        format!("{}-{number}", self.local_prefix)
    }

    /// The REST body of message `number`.
    pub(crate) fn json(&self, number: u64) -> String {
        let body = packet::body(number, self.body);
        format!("{{\"local_id\":\"{}-{number}\",\"body\":\"{body}\"}}", self.local_prefix)
    }
}
