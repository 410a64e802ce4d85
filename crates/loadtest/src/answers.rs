//! The agents who answer the SDK's clients: few connections, each for many conversations, and none that gives up where
//! its server is killed.

use crate::{
    bench::Envelope,
    packet::{self, Packet},
    phone::Phone,
    socket::{Login, Route, Socket},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(20);
/// How long an agent tries to get rid of one round of messages, a killed server included.
const ROUND_LIMIT: Duration = Duration::from_secs(120);

/// An agent, and those whom they answer.
#[derive(Debug)]
pub(crate) struct Agent {
    /// How to reach the server.
    pub(crate) route: Route,
    /// As whom.
    pub(crate) login: Login,
    /// Which start of the server it is: the messages' names are made of it.
    pub(crate) start: u32,
    /// Characters per message.
    pub(crate) body: usize,
    /// The persons.
    pub(crate) phones: Vec<Arc<Phone>>,
}

impl Agent {
    /// Writes these messages into each conversation, once its person has opened it. A message that was not acknowledged
    /// when the connection ended is sent again under its name, before any later one. Returns how often the connection
    /// ended.
    pub(crate) async fn write(self, numbers: Range<u64>) -> Result<u64> {
        let mut envelopes = Vec::new();
        for phone in &self.phones {
            envelopes.push(self.envelope(&self.conversation(phone).await?));
        }
        let mut ends = 0;
        let mut socket = None;
        for number in numbers {
            let mut open: BTreeSet<u64> = (0..envelopes.len() as u64).collect();
            let until = Instant::now() + ROUND_LIMIT;
            while !open.is_empty() {
                let Err(error) = self.round(&mut socket, &envelopes, number, &mut open).await else { break };
                if socket.take().is_some() {
                    ends += 1;
                }
                ensure!(error.downcast_ref::<Refused>().is_none(), "an agent: {error:#}");
                ensure!(Instant::now() < until, "an agent was not acknowledged in time: {error:#}");
                tokio::time::sleep(POLL).await;
            }
        }
        if let Some(socket) = socket {
            socket.close().await?;
        }
        Ok(ends)
    }

    /// The name of message `number`.
    pub(crate) fn local_id(start: u32, number: u64) -> String {
        Envelope::new("/admin", "", start, 0).local_id(number)
    }

    fn envelope(&self, conversation: &str) -> Envelope {
        Envelope::new(self.login.namespace(), conversation, self.start, self.body)
    }

    async fn conversation(&self, phone: &Phone) -> Result<String> {
        let until = Instant::now() + ROUND_LIMIT;
        loop {
            if let Some(conversation) = phone.conversation() {
                return Ok(conversation);
            }
            ensure!(Instant::now() < until, "a conversation was not opened in time");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends what is open of this round, and waits for all acks. What was acknowledged before an error is not open any
    /// more.
    async fn round(
        &self,
        connection: &mut Option<Socket>,
        envelopes: &[Envelope],
        number: u64,
        open: &mut BTreeSet<u64>,
    ) -> Result<()> {
        let socket = match connection {
            Some(socket) => socket,
            None => connection.insert(Socket::connect(self.route, &self.login).await.context("an agent")?),
        };
        for index in open.iter() {
            let envelope = usize::try_from(*index).ok().and_then(|index| envelopes.get(index));
            let envelope = envelope.context("an ack that nobody asked for")?;
            socket.send(&envelope.packet_asking(*index, number)).await?;
        }
        while !open.is_empty() {
            match socket.next().await? {
                Packet::Ack(index, data) if packet::succeeded(data) => {
                    open.remove(&index);
                }
                Packet::Ack(_, data) => {
                    return Err(Refused(String::from_utf8_lossy(data).into_owned()).into());
                }
                Packet::Closed => bail!("the server let go of an agent"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The server answered with an error: no time will mend it.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}
