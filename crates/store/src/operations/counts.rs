//! How many conversations each view of an inbox has. What counting reads is bounded, however many there are.

use std::collections::HashMap;

use protocol::rest::InboxCounts;
use protocol::{AgentId, AppId};

use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read};
use crate::session::{Param, Row, Session};

/// Counts the open conversations in each view of an app, and of some of its agents; each at most
/// [`COUNTED`](protocol::limits::COUNTED).
#[derive(Debug, Clone)]
pub struct CountInbox {
    /// The app.
    pub app_id: AppId,
    /// Whose own are counted.
    pub agents: Vec<AgentId>,
}

/// What [`CountInbox`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedInbox {
    /// What is the same for all agents.
    pub shared: InboxCounts,
    /// What is with each of those who were asked for, and how much of that they have to look at.
    pub of_agents: HashMap<AgentId, (u64, u64)>,
}

impl CountedInbox {
    /// What one agent is told.
    pub fn of(&self, agent: Option<&AgentId>) -> InboxCounts {
        let (mine, mine_unread) = agent.and_then(|agent| self.of_agents.get(agent)).copied().unzip();
        InboxCounts { mine, mine_unread, ..self.shared.clone() }
    }
}

const SHARED: &str = "SELECT \
    (SELECT count(*) FROM (SELECT 1 FROM conversations WHERE app_id = $1 AND status = 'open' LIMIT 1000) AS a), \
    (SELECT count(*) FROM (SELECT 1 FROM conversations WHERE app_id = $1 AND status = 'open' AND assignee_id IS NULL LIMIT 1000) AS b), \
    (SELECT count(*) FROM (SELECT 1 FROM conversations WHERE app_id = $1 AND status = 'open' AND waiting_since IS NOT NULL LIMIT 1000) AS c)";

/// `$2` as rows (agent), and what is with each.
macro_rules! of_agents {
    ($agents:literal) => {
        concat!(
            "SELECT v.agent_id, (SELECT count(*) FROM (SELECT 1 FROM conversations c WHERE c.app_id = $1 \
             AND c.assignee_id = v.agent_id AND c.status = 'open' LIMIT 1000) AS d), \
             (SELECT count(*) FROM (SELECT c.unread_count, c.is_marked_unread FROM conversations c WHERE c.app_id = $1 \
             AND c.assignee_id = v.agent_id AND c.status = 'open' LIMIT 1000) AS e \
             WHERE e.unread_count > 0 OR e.is_marked_unread = 1) FROM ",
            $agents
        )
    };
}

const _: () = assert!(protocol::limits::COUNTED == 1_000, "the statements have the number as text");

const OF_AGENTS_SQLITE: &str = of_agents!("(SELECT value AS agent_id FROM json_each($2)) AS v");
const OF_AGENTS_POSTGRES: &str =
    of_agents!("(SELECT jsonb_array_elements_text(CAST(CAST($2 AS TEXT) AS jsonb)) AS agent_id) AS v");

impl Operation for CountInbox {
    type Out = CountedInbox;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let read = |row: &mut Row<'_>| {
            let (open, unassigned, waiting) = (row.count()?, row.count()?, row.count()?);
            Ok(InboxCounts { open, unassigned, waiting, mine: None, mine_unread: None })
        };
        let shared = session.query_one(SHARED, &[Param::Text(&self.app_id)], read).await?;
        let mut counted = CountedInbox { shared: shared.unwrap_or_default(), of_agents: HashMap::new() };
        if !self.agents.is_empty() {
            let agents = serde_json::to_string(&self.agents)
                .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
            let sql = match session {
                Session::Sqlite(_) => OF_AGENTS_SQLITE,
                Session::Postgres(_) => OF_AGENTS_POSTGRES,
            };
            let params = [Param::Text(&self.app_id), Param::Text(&agents)];
            let read = |row: &mut Row<'_>| Ok((row.id()?, (row.count()?, row.count()?)));
            counted.of_agents = session.query(sql, &params, read).await?.into_iter().collect();
        }
        Ok(counted)
    }
}

impl Read for CountInbox {}
