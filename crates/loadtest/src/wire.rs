//! How packets are written. The tool thinks in text; on the other wire each packet is written anew, which costs the tool and
//! not the server.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

/// How a connection's packets are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As text, which every client does by itself.
    #[default]
    Json,
    /// As `socket.io-msgpack-parser` does.
    MessagePack,
}

/// The packet as MessagePack, from its text with both digits: `42/client,7["name",{}]`.
pub(crate) fn pack(text: &str) -> Result<Vec<u8>> {
    let rest = text.strip_prefix('4').context("not a packet")?;
    let (kind, rest) = rest.split_at_checked(1).context("no kind")?;
    let (namespace, rest) = match rest.strip_prefix('/').and_then(|rest| rest.split_once(',')) {
        Some((name, rest)) => (format!("/{name}"), rest),
        None => ("/".to_owned(), rest),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, data) = rest.split_at(digits);
    // In the order in which the stock client writes them.
    let mut packet = Map::new();
    packet.insert("type".into(), kind.parse::<u8>()?.into());
    if !data.is_empty() {
        packet.insert("data".into(), serde_json::from_str(data)?);
    }
    if !id.is_empty() {
        packet.insert("id".into(), id.parse::<u64>()?.into());
    }
    packet.insert("nsp".into(), namespace.into());
    Ok(rmp_serde::to_vec_named(&packet)?)
}

/// The text of a packet in MessagePack, as a server would have written it.
pub(crate) fn unpack(bytes: &[u8]) -> Result<String> {
    let packet: Map<String, Value> = rmp_serde::from_slice(bytes)?;
    let kind = packet.get("type").and_then(Value::as_u64).context("no type")?;
    let namespace = packet.get("nsp").and_then(Value::as_str).context("no namespace")?;
    ensure!(kind <= 4, "a packet of type {kind}");
    let id = packet.get("id").map_or(String::new(), Value::to_string);
    let data = packet.get("data").map_or(String::new(), Value::to_string);
    Ok(format!("4{kind}{namespace},{id}{data}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_again() {
        for text in [
            r#"40/client,{"app_id":"a"}"#,
            r#"42/admin,7["message:send",{"body":"é 👋","seq":300}]"#,
            "41/client,",
        ] {
            assert_eq!(unpack(&pack(text).unwrap()).unwrap(), text);
        }
        assert!(pack("3").is_err() && unpack(b"\x90").is_err());
    }
}
