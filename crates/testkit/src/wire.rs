//! How packets of Socket.IO are written, by what the stock parsers do.

use serde_json::{Map, Value};

use crate::Frame;

/// How a client writes its packets, and has the server write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wire {
    /// As text, which every client does by itself.
    #[default]
    Json,
    /// Each as one value, as `socket.io-msgpack-parser` does.
    MessagePack,
}

impl Wire {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// A packet.
    pub(crate) fn write(self, kind: u8, namespace: &str, id: Option<u64>, data: &Value) -> Frame {
        match self {
            Self::Json => {
                let id = id.map(|id| id.to_string()).unwrap_or_default();
                Frame::text(format!("4{kind}{namespace},{id}{data}"))
            }
            Self::MessagePack => {
                // In the order in which the stock client writes them.
                let mut packet = Map::new();
                packet.insert("type".into(), kind.into());
                packet.insert("data".into(), data.clone());
                if let Some(id) = id {
                    packet.insert("id".into(), id.into());
                }
                packet.insert("nsp".into(), namespace.into());
                Frame::binary(
                    rmp_serde::to_vec_named(&packet).expect("JSON has nothing that is not in MessagePack"),
                )
            }
        }
    }
}

/// A packet in MessagePack, as it would have been as text.
pub(crate) fn unpack(packet: &[u8]) -> String {
    let packet: Map<String, Value> = rmp_serde::from_slice(packet).expect("MessagePack");
    let kind = packet["type"].as_u64().expect("a type");
    let namespace = packet["nsp"].as_str().expect("a namespace");
    let text = |field| packet.get(field).map(Value::to_string).unwrap_or_default();
    format!("4{kind}{namespace},{}{}", text("id"), text("data"))
}
