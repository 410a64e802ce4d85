//! Properties of the packets' text form.

use proptest::prelude::*;
use socketio::AckId;
use socketio::packet::socket::{Body, Elements, Packet, parse};

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-z0-9/?=]{1,20}"]
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,10}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{0,5}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn an_event_survives_the_wire(
        namespace in namespace(),
        name in "[a-z\"\\\\\u{e9}]{1,8}x",
        values in prop::collection::vec(json(), 0..5),
        id in prop::option::of(0..=AckId::MAX),
        attachments in 0_usize..=10,
    ) {
        let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
        let mut data = format!("[{}", serde_json::to_string(&name).unwrap());
        let mut ranges = Vec::new();
        for text in &texts {
            data.push(',');
            ranges.push(data.len()..data.len() + text.len());
            data.push_str(text);
        }
        data.push(']');
        let elements = Elements { text: &data, ranges, attachments };
        let packet =
            Packet { namespace: &namespace, body: Body::Event { name, elements, id: id.map(AckId) } };
        let text = packet.encode();
        prop_assert_eq!(parse(&text).unwrap(), packet);
    }

    #[test]
    fn an_answer_survives_the_wire(
        namespace in namespace(),
        text in "[a-z]{0,9}",
        id in 0..=AckId::MAX,
        attachments in 0_usize..=10,
    ) {
        let data = format!("[\"{text}\"]");
        let elements = Elements { text: &data, ranges: std::iter::once(1..data.len() - 1).collect(), attachments };
        let packet = Packet { namespace: &namespace, body: Body::Ack { elements, id: AckId(id) } };
        let text = packet.encode();
        prop_assert_eq!(parse(&text).unwrap(), packet);
    }

    #[test]
    fn the_rest_survives_the_wire(namespace in namespace(), token in "[a-z]{0,9}") {
        let data = format!("{{\"token\":\"{token}\"}}");
        let bodies =
            [Body::Connect(None), Body::Connect(Some(&data)), Body::Disconnect, Body::ConnectError(&data)];
        for body in bodies {
            let packet = Packet { namespace: &namespace, body };
            let text = packet.encode();
            prop_assert_eq!(parse(&text).unwrap(), packet);
        }
    }

    #[test]
    fn any_text_is_a_packet_or_an_error(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn almost_a_packet_is_a_packet_or_an_error(
        text in "[0-7]([0-9]{0,3}-)?(/[a-z]{0,3},?)?[0-9]{0,20}[\\[\\]{}\",:a-c0-2_]{0,30}",
    ) {
        let _ = parse(&text);
    }

    /// What is read never exceeds the bounds, however the text is made.
    #[test]
    fn what_is_read_is_bounded(commas in 0_usize..1000, digits in 0_usize..40, name in 1_usize..600) {
        let text = format!("2/{},{}[1{}]", "n".repeat(name), "9".repeat(digits), ",1".repeat(commas));
        if let Ok(Packet { namespace, body: Body::Event { elements, id, .. } }) = parse(&text) {
            prop_assert!(namespace.len() <= 256);
            prop_assert!(elements.ranges.len() < 256);
            prop_assert!(id.is_none_or(|id| id.0 <= AckId::MAX));
        }
    }
}
