//! Which of a Redis Cluster's servers has which keys.

use redis::{FromRedisValue as _, RedisResult, Value};

/// How many slots a Redis Cluster has.
const SLOTS: u16 = 16_384;

/// A server's host and port.
pub(super) type Address = (String, u16);

/// The slots of a cluster's masters, as one of its servers told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// First and last slot with their servers, the master first.
    ranges: Vec<(u16, u16, Vec<Address>)>,
}

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS`; `asked` is the host that gave it.
    pub(super) fn read(answer: Value, asked: &str) -> RedisResult<Self> {
        let mut ranges = Vec::new();
        for row in Vec::<Vec<Value>>::from_redis_value(answer)? {
            let mut fields = row.into_iter();
            let (Some(first), Some(last)) = (fields.next(), fields.next()) else { continue };
            let servers = fields.filter_map(|server| address(server, asked)).collect();
            ranges.push((u16::from_redis_value(first)?, u16::from_redis_value(last)?, servers));
        }
        Ok(Self { ranges })
    }

    /// The master that has this slot.
    pub(super) fn master(&self, slot: u16) -> Option<&Address> {
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        range.2.first()
    }

    /// All servers, replicas too.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Address> {
        self.ranges.iter().flat_map(|(_, _, servers)| servers)
    }
}

/// `None` for a server whose address its neighbours do not know.
fn address(server: Value, asked: &str) -> Option<Address> {
    let mut fields = Vec::<Value>::from_redis_value(server).ok()?.into_iter();
    let host = Option::<String>::from_redis_value(fields.next()?).ok()?.unwrap_or_default();
    let port = u16::from_redis_value(fields.next()?).ok()?;
    match host.as_str() {
        "?" => None,
        // The one that was asked, where it does not know its own address, or where all are behind one name.
        "" => Some((asked.to_owned(), port)),
        _ => Some((host, port)),
    }
}

/// The slot of a key: of what stands in its first braces, if there is anything.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the specification of Redis Cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_slots_that_redis_gives_them() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"replyhq:{foo}:log"), 12_182);
        assert_eq!(slot(b"a{}b"), crc16(b"a{}b") % SLOTS);
        assert_eq!(slot(b"a{b"), crc16(b"a{b") % SLOTS);
    }

    #[test]
    fn a_server_without_an_address_is_the_one_that_was_asked() {
        let server = |host: Value, port| Value::Array(vec![host, Value::Int(port)]);
        let text = |text: &str| Value::BulkString(text.into());
        let row = |first, last, servers: Vec<Value>| {
            let mut row = vec![Value::Int(first), Value::Int(last)];
            row.extend(servers);
            Value::Array(row)
        };
        let answer = Value::Array(vec![
            row(0, 99, vec![server(Value::Nil, 7000), server(text("10.0.0.2"), 7001)]),
            row(100, 16_383, vec![server(text("10.0.0.3"), 7002), server(text("?"), 7003)]),
        ]);
        let map = SlotMap::read(answer, "redis.example").unwrap();
        assert_eq!(map.master(99), Some(&("redis.example".to_owned(), 7000)));
        assert_eq!(map.master(100), Some(&("10.0.0.3".to_owned(), 7002)));
        assert_eq!(map.servers().count(), 3);
    }
}
