//! The scripts, each atomic, and the keys that they touch. All keys of an app share a hash tag, and so do those of the
//! nodes: on a cluster each script finds its keys in one place.

use std::sync::LazyLock;

use protocol::AppId;
use redis::{Cmd, Script};

macro_rules! scripts {
    ($($name:ident = $($file:literal),+;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!($file)),+)));)*
        /// The sources of all of them.
        pub(super) const ALL: &[&str] = &[$(concat!($(include_str!($file)),+)),*];
    };
}

scripts! {
    REGISTER = "register.lua";
    JOIN = "change.lua", "join.lua";
    LEAVE = "change.lua", "leave.lua";
    CLAIM = "change.lua", "claim.lua";
    RENEW = "renew.lua";
    TAKE = "take.lua";
    ENLIST = "enlist.lua";
}

/// A call of the script by its hash.
pub(super) fn call(script: &Script, keys: &[String]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    command
}

pub(super) fn sessions(app: &AppId) -> String {
    format!("replyhq:{{{app}}}:sessions")
}

pub(super) fn devices(app: &AppId) -> String {
    format!("replyhq:{{{app}}}:devices")
}

pub(super) fn order(app: &AppId) -> String {
    format!("replyhq:{{{app}}}:order")
}

pub(super) fn of_node(app: &AppId, node: &str) -> String {
    format!("replyhq:{{{app}}}:node:{node}")
}

pub(super) fn log(app: &AppId) -> String {
    format!("replyhq:{{{app}}}:log")
}

pub(super) fn about(app: &AppId) -> String {
    format!("replyhq:{{{app}}}:app")
}

/// The keys of join, leave and claim.
pub(super) fn of_change(app: &AppId, node: &str) -> [String; 7] {
    let tombstone = format!("replyhq:{{{app}}}:gone:{node}");
    [sessions(app), devices(app), order(app), of_node(app, node), log(app), about(app), tombstone]
}

pub(super) const LEASES: &str = "replyhq:{nodes}:leases";
pub(super) const CLAIMS: &str = "replyhq:{nodes}:claims";
pub(super) const COUNTS: &str = "replyhq:{nodes}:counts";
pub(super) const EPOCH: &str = "replyhq:{nodes}:epoch";

pub(super) fn apps_of(node: &str) -> String {
    format!("replyhq:{{nodes}}:apps:{node}")
}
