//! The log: on standard error, for people or for programs. Neither secrets nor message bodies are ever put into it.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::LogFormat;

/// Starts the process's log. A second call changes nothing.
pub fn start_log(format: LogFormat, level: LevelFilter) {
    let layer = match format {
        LogFormat::Human => fmt::layer().with_writer(std::io::stderr).with_target(false).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    // An error says that there is a log already, as in tests that start many servers.
    let _ = registry().with(layer.with_filter(level)).try_init();
}
