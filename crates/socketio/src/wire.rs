//! How packets are written on a connection: both stock parsers of Socket.IO.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::frame::EncodeError;
use crate::{AckId, Frame};

/// How a connection's packets are written. A client shows it with its first packet, and keeps to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// As text, with binary attachments behind it: what every client does by itself.
    #[default]
    Json,
    /// Each as one MessagePack value, as `socket.io-msgpack-parser` does.
    MessagePack,
}

impl Wire {
    /// How many there are; `wire as usize` counts up to there.
    pub const COUNT: usize = 2;

    /// The event `name` with one argument.
    ///
    /// # Errors
    ///
    /// When the argument does not serialise.
    pub fn event<T: Serialize + ?Sized>(
        self,
        namespace: &str,
        name: &str,
        arg: &T,
    ) -> Result<Frame, EncodeError> {
        self.event_with_id(namespace, name, arg, None)
    }

    pub(crate) fn event_with_id<T: Serialize + ?Sized>(
        self,
        namespace: &str,
        name: &str,
        arg: &T,
        id: Option<AckId>,
    ) -> Result<Frame, EncodeError> {
        match self {
            Self::Json => Frame::event_with_id(namespace, name, arg, id),
            Self::MessagePack => Frame::msgpack_event(namespace, name, arg, id),
        }
    }

    /// The answer to an event, with one argument.
    ///
    /// # Errors
    ///
    /// When the argument does not serialise.
    pub fn ack<T: Serialize + ?Sized>(
        self,
        namespace: &str,
        id: AckId,
        arg: &T,
    ) -> Result<Frame, EncodeError> {
        match self {
            Self::Json => Frame::ack(namespace, id, arg),
            Self::MessagePack => Frame::msgpack_ack(namespace, id, arg),
        }
    }

    /// Puts the peer out of a namespace. A stock client does not come back to it by itself.
    pub fn disconnect(self, namespace: &str) -> Frame {
        match self {
            Self::Json => Frame::disconnect(namespace),
            Self::MessagePack => Frame::msgpack_disconnect(namespace),
        }
    }

    /// Grants a namespace.
    pub(crate) fn connect(self, namespace: &str, sid: &str) -> Frame {
        match self {
            Self::Json => Frame::connect(namespace, sid),
            Self::MessagePack => Frame::msgpack_connect(namespace, sid),
        }
    }

    /// Refuses a namespace.
    pub(crate) fn connect_error(self, namespace: &str, message: &str, data: Option<&RawValue>) -> Frame {
        match self {
            Self::Json => Frame::connect_error(namespace, message, data),
            Self::MessagePack => Frame::msgpack_connect_error(namespace, message, data),
        }
    }
}
