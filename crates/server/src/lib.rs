//! The outside of ReplyHQ: sockets, REST, settings, metrics, shutdown. What may be done is decided in `chat`; here it
//! is only read from the wire and written to it.
//!
//! The server is a function of its inputs: [`App::start`] takes settings and a listener, so two of them run in one
//! process as well as in two. There are no globals.

mod address;
mod app;
mod command;
mod connections;
mod demo;
mod failure;
mod fanout;
mod healthcheck;
mod indexing;
mod json;
mod legacy;
mod listen;
mod live;
mod memory;
mod metrics;
mod rest;
mod settings;
mod shared;
mod socket;
mod stream;
mod telemetry;
mod viewing;
mod web;

pub use self::address::Proxies;
pub use self::app::{App, Running, StartError};
pub use self::command::{Cli, Command, run_command};
pub use self::legacy::LegacySettings;
pub use self::settings::{DatabaseSettings, LogAddresses, LogFormat, RateLimits, Settings};
pub use self::telemetry::start_log;
