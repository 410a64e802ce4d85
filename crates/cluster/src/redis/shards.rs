//! Connections for commands to a cluster's masters. Each command goes to the one that has its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use redis::aio::MultiplexedConnection;
use redis::{Arg, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use super::slots::{Address, SlotMap, slot};
use super::url::Seeds;
use super::{connect, failed, is_wrong_server, send};

/// How often a command is sent after it was told to go elsewhere, or to come again.
const ATTEMPTS: usize = 6;

/// How long to leave a slot alone that is under way from one server to another.
const PAUSE: Duration = Duration::from_millis(50);

/// Servers that are asked at once where the slots are. The first answer counts.
const ASKED: usize = 5;

/// The way to a cluster's masters.
pub(crate) struct Shards {
    seeds: Seeds,
    scripts: &'static [&'static str],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the slots are, unless that turned out to be wrong.
    map: Option<Arc<SlotMap>>,
    /// Who may know it.
    known: Vec<Address>,
    /// Moves on with each question, so that all of them have their turn.
    turn: usize,
    connections: HashMap<Address, MultiplexedConnection>,
}

/// Commands for one server, by their places among all.
struct Group {
    address: Address,
    /// The slot is under way to this server, which takes these commands only if it is told that we know.
    is_asking: bool,
    places: Vec<usize>,
}

impl Shards {
    pub(super) fn new(seeds: Seeds, scripts: &'static [&'static str]) -> Self {
        Self { seeds, scripts, state: Mutex::default() }
    }

    /// As [`Link::run`](super::Link::run).
    pub(super) async fn run(&self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let commands: Vec<&Cmd> = commands.cmd_iter().collect();
        let mut answers: Vec<RedisResult<Value>> = vec![Ok(Value::Nil); commands.len()];
        let mut todo: Vec<(usize, Option<Address>)> =
            (0..commands.len()).map(|place| (place, None)).collect();
        let mut problem = failed("there was nothing to do");
        for attempt in 0..ATTEMPTS {
            if attempt > 1 {
                tokio::time::sleep(PAUSE).await;
            }
            let groups = grouped(&commands, &todo, self.map().await?.as_ref())?;
            let outcomes = join_all(groups.iter().map(|group| self.run_group(&commands, group))).await;
            todo.clear();
            let mut failure = None;
            for (group, outcome) in groups.iter().zip(outcomes) {
                match outcome {
                    Ok(values) => {
                        for (place, answer) in group.places.iter().zip(values) {
                            match answer {
                                Err(error) if is_wrong_server(&error) => {
                                    match self.elsewhere(&error, group) {
                                        Some(asked) => todo.push((*place, asked)),
                                        None => failure = Some(error.clone()),
                                    }
                                    problem = error;
                                }
                                answer => answers[*place] = answer,
                            }
                        }
                    }
                    Err(error) => {
                        self.forget(&group.address);
                        failure = Some(error);
                    }
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            if todo.is_empty() {
                return Ok(answers);
            }
            todo.sort_unstable();
        }
        Err(problem)
    }

    /// The master that has this key, for a connection of another kind.
    pub(super) async fn master_of(&self, key: &str) -> RedisResult<Client> {
        let map = self.map().await?;
        let (host, port) = map.master(slot(key.as_bytes())).ok_or_else(uncovered)?;
        self.seeds.access.client(host, *port)
    }

    /// What is known of the slots is wrong, or may be.
    pub(super) fn forget_map(&self) {
        self.state().map = None;
    }

    /// Where a refused command has to go: `None` if it is of no use to try again at once, `Some(None)` where the slots
    /// say so, `Some(address)` once at that server.
    fn elsewhere(&self, error: &RedisError, group: &Group) -> Option<Option<Address>> {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => {
                let to = redirection(error, &group.address.0);
                let mut state = self.state();
                state.map = None;
                // It has the slot, so it knows better than the others.
                if let Some(to) = to {
                    state.known.insert(0, to);
                    state.turn = 0;
                }
                Some(None)
            }
            ErrorKind::Server(ServerErrorKind::Ask) => Some(redirection(error, &group.address.0)),
            ErrorKind::Server(ServerErrorKind::TryAgain) => Some(None),
            _ => {
                self.forget(&group.address);
                None
            }
        }
    }

    async fn run_group(&self, commands: &[&Cmd], group: &Group) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut connection = self.connection(&group.address).await?;
        let mut pipeline = Pipeline::with_capacity(2 * group.places.len());
        for place in &group.places {
            if group.is_asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(commands[*place].clone());
        }
        let answers = send(&mut connection, &pipeline).await?;
        let step = if group.is_asking { 2 } else { 1 };
        Ok(answers.into_iter().skip(step - 1).step_by(step).collect())
    }

    async fn connection(&self, address: &Address) -> RedisResult<MultiplexedConnection> {
        let known = self.state().connections.get(address).cloned();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let connection = connect(&self.seeds.access.client(&address.0, address.1)?, self.scripts).await?;
        self.state().connections.insert(address.clone(), connection.clone());
        Ok(connection)
    }

    /// The server is gone, or is not what it was: so may be others.
    fn forget(&self, address: &Address) {
        let mut state = self.state();
        state.connections.remove(address);
        state.map = None;
    }

    /// Where the slots are.
    async fn map(&self) -> RedisResult<Arc<SlotMap>> {
        let asked = {
            let mut state = self.state();
            if let Some(map) = &state.map {
                return Ok(Arc::clone(map));
            }
            let mut known: Vec<Address> = Vec::new();
            for address in state.known.iter().chain(&self.seeds.addresses) {
                if !known.contains(address) {
                    known.push(address.clone());
                }
            }
            let first = state.turn % known.len().max(1);
            state.turn = first + 1;
            known.rotate_left(first);
            known.truncate(ASKED);
            known
        };
        if asked.is_empty() {
            return Err(failed("no server of the cluster is known"));
        }
        let (map, _) = select_ok(asked.iter().map(|address| Box::pin(self.ask(address)))).await?;
        let map = Arc::new(map);
        let mut state = self.state();
        state.known = map.servers().cloned().collect();
        let State { known, connections, .. } = &mut *state;
        connections.retain(|address, _| known.contains(address));
        state.map = Some(Arc::clone(&map));
        Ok(map)
    }

    async fn ask(&self, (host, port): &Address) -> RedisResult<SlotMap> {
        let mut connection = connect(&self.seeds.access.client(host, *port)?, &[]).await?;
        let mut commands = redis::pipe();
        commands.cmd("CLUSTER").arg("SLOTS");
        let answer = send(&mut connection, &commands).await?.into_iter().next().unwrap_or(Ok(Value::Nil))?;
        let map = SlotMap::read(answer, host)?;
        if map.servers().next().is_none() {
            return Err(failed(format!("{host}:{port} is in no cluster")));
        }
        Ok(map)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which server gets which commands, each in their order.
fn grouped(commands: &[&Cmd], todo: &[(usize, Option<Address>)], map: &SlotMap) -> RedisResult<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, asked) in todo {
        let is_asking = asked.is_some();
        let address = match asked {
            Some(address) => address,
            None => map.master(slot(key(commands[*place])?)).ok_or_else(uncovered)?,
        };
        match groups.iter_mut().find(|group| group.address == *address && group.is_asking == is_asking) {
            Some(group) => group.places.push(*place),
            None => groups.push(Group { address: address.clone(), is_asking, places: vec![*place] }),
        }
    }
    Ok(groups)
}

/// The first key of a command. What is used here has it in the first place, but for calls of scripts.
fn key(command: &Cmd) -> RedisResult<&[u8]> {
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes,
        // A cursor; none of our keys is one.
        _ => b"",
    });
    let at = if arguments.next() == Some(b"EVALSHA") { 2 } else { 0 };
    arguments.nth(at).ok_or_else(|| failed("a command without a key has no place in a cluster"))
}

/// The server that MOVED or ASK names; without a host it is the one of the server that said so.
fn redirection(error: &RedisError, host: &str) -> Option<Address> {
    let (to, _) = error.redirect_node()?;
    let (to, port) = to.rsplit_once(':')?;
    let to = to.trim_start_matches('[').trim_end_matches(']');
    Some((if to.is_empty() { host } else { to }.to_owned(), port.parse().ok()?))
}

fn uncovered() -> RedisError {
    failed("no server of the cluster has the slot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_goes_where_its_key_is() {
        assert_eq!(key(redis::cmd("HGET").arg("{a}:b").arg("c")).unwrap(), b"{a}:b");
        assert_eq!(
            key(redis::cmd("EVALSHA").arg("hash").arg(2).arg("{a}:b").arg("{a}:c")).unwrap(),
            b"{a}:b"
        );
        assert!(key(&redis::cmd("PING")).is_err());
    }
}
