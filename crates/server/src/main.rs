//! The life of the process: settings, log, server, listen, wait for a signal, drain, exit.

use std::io::{self, Write as _};
use std::process::ExitCode;

use server::{App, Cli, Command, Settings, StartError, run_command, start_log};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports for a process that Ctrl-C ended; a second signal ends this one so.
const EXIT_INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    // Whatever is made from here on is its owner's alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = match Cli::read(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(cli) => cli,
        Err((0, text)) => return print(&text),
        Err((code, text)) => {
            complain(&text);
            return u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match cli.command {
        Command::Serve(settings) => runtime.block_on(serve(*settings)),
        command => match runtime.block_on(run_command(command)) {
            Ok(text) => print(&(text + "\n")),
            Err(failure) => fail(&failure.message),
        },
    }
}

async fn serve(settings: Settings) -> ExitCode {
    start_log(settings.log_format, settings.log_level);
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let app = match App::start(settings).await {
        Ok(app) => app,
        Err(error @ StartError::Settings(_)) => {
            complain(&format!("error: {error}\n"));
            return ExitCode::from(2);
        }
        Err(error) => return fail(&error),
    };
    let mut greeting = app.greeting();
    if let Some(address) = app.internal_address() {
        greeting.push_str(&format!("metrics, docs and health for those who run it: http://{address}\n"));
    }
    let running = app.run();
    print(&greeting);
    signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(EXIT_INTERRUPTED);
    });
    running.shut_down().await;
    ExitCode::SUCCESS
}

/// Linux's number of the signal for a file that grew too large.
const SIGXFSZ: i32 = 25;

/// The signals that end a server, and one that must not.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A file that may not grow any further is an error of that write then, not the end of the process.
    _file_too_large: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits until one comes that asks for the end.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn print(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    complain(&format!("error: {error}\n"));
    ExitCode::FAILURE
}
