//! Why a connection ended, in Socket.IO's words where it has them. Never carries what the peer sent.

use std::fmt;

use tungstenite::protocol::frame::coding::CloseCode;

/// The one breach of protocol that WebSocket has a code of its own for.
pub(crate) const INVALID_UTF8: &str = "invalid UTF-8";

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed the WebSocket or the connection under it, or an I/O error did.
    Transport,
    /// The client ended the connection: to a server, with an Engine.IO close packet; to a client, by itself.
    ClientClosed,
    /// To a server: a ping was not answered in time. To a client: nothing was heard for the ping interval and
    /// timeout that the server announced.
    PingTimeout,
    /// To a server: no namespace was accepted in time. To a client: the server's first packet or its answer to
    /// the CONNECT did not come in time.
    ConnectTimeout,
    /// The peer reads more slowly than it is sent to: the outgoing queue is full.
    SlowReader,
    /// The peer broke the protocol; the text says how.
    Protocol(&'static str),
    /// A message is larger than [`Config::max_payload`](crate::Config::max_payload), or a client's CONNECT is
    /// larger than the server takes.
    TooLarge,
    /// The server ended the connection: to a server, by itself; to a client, with an Engine.IO close packet.
    Server,
    /// This side is shutting down; the peer is welcome elsewhere at once.
    Shutdown,
}

impl CloseReason {
    /// The reason in one short constant phrase, fit for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport close",
            Self::ClientClosed => "client namespace disconnect",
            Self::PingTimeout => "ping timeout",
            Self::ConnectTimeout => "connect timeout",
            Self::SlowReader => "slow reader",
            Self::Protocol(_) => "parse error",
            Self::TooLarge => "payload too large",
            Self::Server => "forced server close",
            Self::Shutdown => "server shutting down",
        }
    }

    /// Whether the peer can be expected to take a goodbye. One that does not answer or does not read cannot,
    /// and waiting for it would keep its memory.
    pub(crate) fn is_abrupt(self) -> bool {
        matches!(self, Self::Transport | Self::PingTimeout | Self::SlowReader)
    }

    /// Whether one of the sides meant to end it, rather than having to.
    pub(crate) fn is_deliberate(self) -> bool {
        matches!(self, Self::ClientClosed | Self::Server | Self::Shutdown)
    }

    pub(crate) fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol(INVALID_UTF8) => CloseCode::Invalid,
            Self::Protocol(_) => CloseCode::Protocol,
            Self::TooLarge => CloseCode::Size,
            Self::Shutdown => CloseCode::Away,
            Self::SlowReader | Self::ConnectTimeout => CloseCode::Policy,
            Self::Transport | Self::ClientClosed | Self::PingTimeout | Self::Server => CloseCode::Normal,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(detail) => write!(f, "{}: {detail}", self.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}
