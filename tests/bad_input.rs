//! Input that is wrong in every way that fits into a table: each is answered with its code, and the connection that
//! it came on works as before.

use serde_json::{Value, json};
use testkit::{Answer, Client, Http, Method, TestApp, TestServer};

/// Values that no field of ours takes.
fn of_wrong_types() -> [Value; 5] {
    [json!(1), json!(1.5), json!(true), json!([]), json!({})]
}

/// A field of an event or a body, and what becomes of strings in it that are of the right type and still wrong.
struct Field {
    name: &'static str,
    /// A string of 10,000 characters.
    oversized: &'static str,
    empty: &'static str,
    /// What belongs to someone else, with the code that it gets.
    foreign: Option<(Value, &'static str)>,
}

fn field(name: &'static str, empty: &'static str, oversized: &'static str) -> Field {
    Field { name, oversized, empty, foreign: None }
}

impl Field {
    fn not_for(mut self, foreign: &Value, code: &'static str) -> Self {
        self.foreign = Some((foreign.clone(), code));
        self
    }
}

struct Case {
    event: &'static str,
    /// A payload that is good again and again.
    good: Value,
    fields: Vec<Field>,
}

/// Emits with an ack and without: the same code both times, and the connection goes on.
async fn fails(client: &mut Client, event: &str, payload: &Value, code: &str) {
    let refused = client.refused(event, payload.clone()).await;
    assert_eq!(refused, code, "{event} {}", shown(payload));
    client.emit(event, payload.clone()).await;
    let told = client.expect("error").await;
    assert_eq!(told["code"], code, "{event} {}", shown(payload));
    assert!(told["message"].is_string());
    assert_eq!(client.call("ping", json!({})).await, "pong", "after {event} {}", shown(payload));
}

fn shown(payload: &Value) -> String {
    payload.to_string().chars().take(200).collect()
}

async fn goes_wrong_in_every_way(client: &mut Client, namespace: &str, case: &Case) {
    let Case { event, good, fields } = case;
    client.send_text(&format!("42{namespace},[\"{event}\"]")).await;
    assert_eq!(client.expect("error").await["code"], "MISSING_PARAMS", "{event} without a payload");
    fails(client, event, &json!({}), "MISSING_PARAMS").await;
    for payload in [Value::Null, json!(1), json!(true), json!([]), json!([[]])] {
        fails(client, event, &payload, "VALIDATION_ERROR").await;
    }
    // The fields' values in their order, without their names.
    let values: Vec<_> = fields.iter().map(|field| good[field.name].clone()).collect();
    fails(client, event, &json!(values), "VALIDATION_ERROR").await;
    for Field { name, oversized, empty, foreign } in fields {
        let with = |value: Value| {
            let mut payload = good.clone();
            payload[*name] = value;
            payload
        };
        for wrong in of_wrong_types() {
            fails(client, event, &with(wrong), "VALIDATION_ERROR").await;
        }
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove(*name);
        fails(client, event, &missing, "MISSING_PARAMS").await;
        fails(client, event, &with(json!("")), empty).await;
        fails(client, event, &with(json!("x".repeat(10_000))), oversized).await;
        if let Some((foreign, code)) = foreign {
            fails(client, event, &with(foreign.clone()), code).await;
        }
        let id = good[*name].to_string();
        let twice = format!("42{namespace},[\"{event}\",{{\"{name}\":{id},\"{name}\":{id}}}]");
        client.send_text(&twice).await;
        assert_eq!(client.expect("error").await["code"], "VALIDATION_ERROR", "{event}: {name} twice");
        let surrogate = format!("42{namespace},[\"{event}\",{{\"{name}\":\"\\ud800\"}}]");
        client.send_text(&surrogate).await;
        assert_eq!(client.expect("error").await["code"], "VALIDATION_ERROR", "{event}: half a character");
    }
    let mut extended = good.clone();
    extended["unheard_of"] = json!({ "nested": [1, 2, { "deeper": null }] });
    extended["constructor"] = json!("x");
    assert_ne!(client.call(event, extended).await["success"], false, "{event} with unknown fields");
    let mut further = json!([event, good]);
    further.as_array_mut().unwrap().extend([json!("more"), json!(null), json!({ "arguments": 1 })]);
    client.send_text(&format!("42{namespace},{further}")).await;
    assert_eq!(client.settled("error").await, [] as [Value; 0], "{event} with further arguments");
}

struct Scene {
    app: TestApp,
    other: TestApp,
    conversation: String,
    /// Another device's, and another app's.
    elsewhere: [String; 2],
    /// A message of the conversation, and one of each elsewhere.
    message: Value,
    foreign: [Value; 2],
}

async fn scene(server: &TestServer) -> Scene {
    let (app, other) = (server.app().await, server.app().await);
    let conversation = app.conversation("phone").await;
    let elsewhere = [app.conversation("neighbour").await, other.conversation("phone").await];
    let post = async |app: &TestApp, conversation: &str| {
        let path = format!("/v1/admin/conversations/{conversation}/messages");
        let answer = app.as_agent().post(&path, &json!({ "local_id": "first", "body": "x" })).await.ok();
        answer["message"]["id"].clone()
    };
    let message = post(&app, &conversation).await;
    let foreign = [post(&app, &elsewhere[0]).await, post(&other, &elsewhere[1]).await];
    Scene { app, other, conversation, elsewhere, message, foreign }
}

#[tokio::test]
async fn every_event_of_a_device_answers_bad_input_with_its_code_and_goes_on() {
    let server = TestServer::without_limits().await;
    let scene = scene(&server).await;
    let here = json!({ "conversation_id": scene.conversation });
    let id = |empty| field("conversation_id", empty, "CONVERSATION_NOT_FOUND");
    let up_to = || field("up_to_message_id", "MISSING_PARAMS", "MESSAGE_NOT_FOUND");
    for at in 0..2 {
        let mut device = scene.app.device_in_conversation("phone").await.0;
        let foreign = json!(scene.elsewhere[at]);
        let id = |empty| id(empty).not_for(&foreign, "CONVERSATION_NOT_FOUND");
        let up_to = || up_to().not_for(&scene.foreign[at], "MESSAGE_NOT_FOUND");
        let receipt = json!({ "conversation_id": scene.conversation, "up_to_message_id": scene.message });
        let send = json!({ "conversation_id": scene.conversation, "body": "x", "local_id": "1" });
        let cases = [
            Case { event: "conversation:join", good: here.clone(), fields: vec![id("MISSING_PARAMS")] },
            Case { event: "typing:start", good: here.clone(), fields: vec![id("MISSING_PARAMS")] },
            Case { event: "typing:stop", good: here.clone(), fields: vec![id("MISSING_PARAMS")] },
            Case {
                event: "message:send",
                good: send,
                fields: vec![
                    id("MISSING_PARAMS"),
                    field("body", "MISSING_PARAMS", "MESSAGE_TOO_LONG"),
                    field("local_id", "MISSING_PARAMS", "VALIDATION_ERROR"),
                ],
            },
            Case {
                event: "message:read",
                good: receipt.clone(),
                fields: vec![id("MISSING_PARAMS"), up_to()],
            },
            Case { event: "delivery:receipt", good: receipt, fields: vec![id("MISSING_PARAMS"), up_to()] },
            Case {
                event: "delivery:receipt",
                good: json!({ "message_id": scene.message }),
                fields: vec![
                    field("message_id", "MISSING_PARAMS", "MESSAGE_NOT_FOUND")
                        .not_for(&scene.foreign[at], "MESSAGE_NOT_FOUND"),
                ],
            },
        ];
        for case in &cases {
            goes_wrong_in_every_way(&mut device, "/client", case).await;
        }
        joins_go_wrong(&mut device, &scene, at).await;
        leaves_go_wrong(&mut device, "/client", &scene).await;
        pings_and_unknown_events_do_no_harm(&mut device, "/client").await;
    }
    let left =
        scene.app.as_agent().get(&format!("/v1/admin/conversations/{}", scene.elsewhere[0])).await.ok();
    assert_eq!(left["conversation"]["last_seq"], 1, "nothing of it reached another's conversation");
    let left =
        scene.other.as_agent().get(&format!("/v1/admin/conversations/{}", scene.elsewhere[1])).await.ok();
    assert_eq!(left["conversation"]["last_seq"], 1, "nor another app's");
}

#[tokio::test]
async fn every_event_of_an_agent_answers_bad_input_with_its_code_and_goes_on() {
    let server = TestServer::without_limits().await;
    let scene = scene(&server).await;
    let mut agent = scene.app.agent_in(&scene.conversation).await;
    let here = json!({ "conversation_id": scene.conversation });
    let of_app = json!({ "app_id": scene.app.app_id });
    let foreign = json!(scene.elsewhere[1]);
    let id = |empty| {
        field("conversation_id", empty, "CONVERSATION_NOT_FOUND").not_for(&foreign, "CONVERSATION_NOT_FOUND")
    };
    let app_id =
        || field("app_id", "MISSING_PARAMS", "FORBIDDEN").not_for(&json!(scene.other.app_id), "FORBIDDEN");
    let cases = [
        Case { event: "app:subscribe", good: of_app.clone(), fields: vec![app_id()] },
        Case { event: "sessions:list", good: of_app.clone(), fields: vec![app_id()] },
        Case { event: "conversation:join", good: here.clone(), fields: vec![id("MISSING_PARAMS")] },
        Case { event: "typing:start", good: here.clone(), fields: vec![id("MISSING_PARAMS")] },
        Case { event: "typing:stop", good: here.clone(), fields: vec![id("MISSING_PARAMS")] },
        Case {
            event: "message:send",
            good: json!({ "conversation_id": scene.conversation, "body": "x", "local_id": "1" }),
            fields: vec![
                id("MISSING_PARAMS"),
                field("body", "MISSING_PARAMS", "MESSAGE_TOO_LONG"),
                field("local_id", "MISSING_PARAMS", "VALIDATION_ERROR"),
            ],
        },
        Case {
            event: "message:read",
            good: json!({ "conversation_id": scene.conversation, "up_to_message_id": scene.message }),
            fields: vec![
                id("MISSING_PARAMS"),
                field("up_to_message_id", "MISSING_PARAMS", "MESSAGE_NOT_FOUND")
                    .not_for(&scene.foreign[1], "MESSAGE_NOT_FOUND"),
            ],
        },
    ];
    for case in &cases {
        goes_wrong_in_every_way(&mut agent, "/admin", case).await;
    }
    joins_go_wrong(&mut agent, &scene, 1).await;
    leaves_go_wrong(&mut agent, "/admin", &scene).await;
    pings_and_unknown_events_do_no_harm(&mut agent, "/admin").await;
    for (name, wrong) in [
        ("after", json!(1)),
        ("limit", json!("many")),
        ("limit", json!(-1)),
        ("limit", json!(1.5)),
        ("limit", json!(0)),
    ] {
        let mut payload = of_app.clone();
        payload[name] = wrong;
        fails(&mut agent, "sessions:list", &payload, "VALIDATION_ERROR").await;
    }
    // A receipt of delivery is a device's.
    fails(&mut agent, "delivery:receipt", &json!({ "message_id": scene.message }), "VALIDATION_ERROR").await;
}

async fn joins_go_wrong(client: &mut Client, scene: &Scene, at: usize) {
    let join = |after: Value| json!({ "conversation_id": scene.conversation, "after": after });
    for wrong in of_wrong_types() {
        fails(client, "conversation:join", &join(wrong), "VALIDATION_ERROR").await;
    }
    let oversized = json!("x".repeat(10_000));
    for unknown in [scene.foreign[at].clone(), json!("msg_unknown"), json!("é"), oversized] {
        fails(client, "conversation:join", &join(unknown), "MESSAGE_NOT_FOUND").await;
    }
    for none in [Value::Null, json!("")] {
        client.done("conversation:join", join(none)).await;
    }
}

/// Leaving is good once, so it does not fit the table.
async fn leaves_go_wrong(client: &mut Client, namespace: &str, scene: &Scene) {
    client.send_text(&format!("42{namespace},[\"conversation:leave\"]")).await;
    assert_eq!(client.expect("error").await["code"], "MISSING_PARAMS");
    fails(client, "conversation:leave", &json!({}), "MISSING_PARAMS").await;
    for payload in [Value::Null, json!(1), json!([]), json!([scene.conversation])] {
        fails(client, "conversation:leave", &payload, "VALIDATION_ERROR").await;
    }
    for wrong in of_wrong_types() {
        fails(client, "conversation:leave", &json!({ "conversation_id": wrong }), "VALIDATION_ERROR").await;
    }
    fails(client, "conversation:leave", &json!({ "conversation_id": "" }), "MISSING_PARAMS").await;
    for unknown in ["conv_unknown", &scene.elsewhere[0], &scene.elsewhere[1], &"x".repeat(10_000)] {
        let payload = json!({ "conversation_id": unknown });
        fails(client, "conversation:leave", &payload, "CONVERSATION_NOT_FOUND").await;
    }
    client.done("conversation:leave", json!({ "conversation_id": scene.conversation, "extra": 1 })).await;
    fails(client, "conversation:leave", &json!(scene.conversation), "CONVERSATION_NOT_FOUND").await;
    client.done("conversation:join", json!(scene.conversation)).await;
}

async fn pings_and_unknown_events_do_no_harm(client: &mut Client, namespace: &str) {
    for payload in [Value::Null, json!([]), json!("x"), json!({ "a": 1 }), json!(1)] {
        assert_eq!(client.call("ping", payload.clone()).await, "pong", "{payload}");
        client.emit("ping", payload.clone()).await;
        client.expect("pong").await;
        for event in ["unheard:of", "", "message:new", "__proto__", "MESSAGE:SEND", &"e".repeat(5_000)] {
            let refused = client.refused(event, payload.clone()).await;
            assert_eq!(refused, "VALIDATION_ERROR", "{event}");
            client.emit(event, payload.clone()).await;
            assert_eq!(client.expect("error").await["code"], "VALIDATION_ERROR", "{event}");
        }
    }
    client.send_text(&format!("42{namespace},[7,\"a name that is a number\"]")).await;
    assert_eq!(client.expect("error").await["code"], "VALIDATION_ERROR");
    client.send_text(&format!("42{namespace},[\"ping\"]")).await;
    client.expect("pong").await;
}

#[tokio::test]
async fn a_device_s_event_is_none_of_an_agent_s_and_the_other_way_round() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, _) = app.device_in_conversation("phone").await;
    for event in ["app:subscribe", "sessions:list"] {
        fails(&mut device, event, &json!({ "app_id": app.app_id }), "VALIDATION_ERROR").await;
    }
}

/// A REST route: a request that succeeds, and whose it is.
struct Route {
    method: Method,
    path: String,
    /// `None` where it takes no body.
    good: Option<Value>,
    /// The body's required strings, with what an oversized one gets.
    fields: Vec<(&'static str, u16, &'static str)>,
    is_admin: bool,
    /// What stands for the id in the path, if there is one, and what others get for theirs.
    id: Option<String>,
}

fn routes(scene: &Scene) -> Vec<Route> {
    let id = &scene.conversation;
    let route = |method: Method, path: &str, good: Option<Value>| Route {
        method,
        path: path.replace("{id}", id),
        good,
        fields: Vec::new(),
        is_admin: path.starts_with("/v1/admin"),
        id: path.contains("{id}").then(|| id.clone()),
    };
    let message = || Some(json!({ "local_id": "1", "body": "x" }));
    let receipt = || Some(json!({ "up_to_message_id": scene.message }));
    let mut all = vec![
        route(Method::POST, "/v1/conversations", Some(json!({}))),
        route(Method::GET, "/v1/conversations", None),
        route(Method::GET, "/v1/unread", None),
        route(Method::POST, "/v1/device-context", Some(json!({ "device_context": { "locale": "de" } }))),
        route(Method::POST, "/v1/conversations/{id}/messages", message()),
        route(Method::GET, "/v1/conversations/{id}/messages", None),
        route(Method::POST, "/v1/conversations/{id}/messages/delivered", receipt()),
        route(Method::POST, "/v1/conversations/{id}/messages/read", receipt()),
        route(Method::POST, "/v1/identify", Some(json!({ "user": { "id": "u1" } }))),
        route(Method::GET, "/v1/admin/conversations", None),
        route(Method::GET, "/v1/admin/conversations/{id}", None),
        route(Method::PATCH, "/v1/admin/conversations/{id}", Some(json!({ "status": "open" }))),
        route(Method::GET, "/v1/admin/conversations/{id}/messages", None),
        route(
            Method::POST,
            "/v1/admin/conversations/{id}/messages",
            Some(json!({ "local_id": "2", "body": "x" })),
        ),
        route(Method::GET, "/v1/admin/sessions", None),
        route(Method::GET, "/v1/admin/devices/phone/presence", None),
        route(Method::GET, "/v1/admin/audit", None),
    ];
    for route in &mut all {
        route.fields = match &route.good {
            Some(good) if good.get("local_id").is_some() => {
                vec![("local_id", 400, "VALIDATION_ERROR"), ("body", 413, "MESSAGE_TOO_LONG")]
            }
            Some(good) if good.get("up_to_message_id").is_some() => {
                vec![("up_to_message_id", 404, "MESSAGE_NOT_FOUND")]
            }
            Some(good) if good.get("status").is_some() => vec![("status", 400, "VALIDATION_ERROR")],
            _ => Vec::new(),
        };
    }
    all
}

impl Route {
    fn as_its_own(&self, app: &TestApp) -> Http {
        if self.is_admin { app.as_agent() } else { app.as_device("phone") }
    }

    async fn with(&self, http: &Http, body: Option<&Value>) -> Answer {
        let body = body.or(self.good.as_ref()).map(|body| body.to_string().into_bytes());
        http.send(self.method.clone(), &self.path, body.unwrap_or_default()).await
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

#[tokio::test]
async fn every_route_answers_a_bad_credential_with_401() {
    let server = TestServer::without_limits().await;
    let scene = scene(&server).await;
    let (app, other) = (&scene.app, &scene.other);
    let plain = || server.http();
    let device = [("X-App-Id", app.app_id.as_str()), ("X-Device-Id", "phone"), ("X-Api-Key", &app.api_key)];
    for route in routes(&scene) {
        let mut wrong = vec![(plain(), "MISSING_PARAMS")];
        if route.is_admin {
            let bearer = |value: &str| plain().header("Authorization", value);
            for header in ["", "Bearer", "Bearer ", &format!("Basic {}", app.admin_token), &app.admin_token] {
                wrong.push((bearer(header), "MISSING_PARAMS"));
            }
            wrong.push((app.as_device("phone"), "MISSING_PARAMS"));
            wrong.push((app.as_agent_with("rhq_adm_wrong"), "INVALID_CREDENTIALS"));
            wrong.push((app.as_agent_with(&app.api_key), "INVALID_CREDENTIALS"));
        } else {
            for left_out in 0..3 {
                let with = |empty: bool| {
                    let mut http = plain();
                    for (at, (name, value)) in device.iter().enumerate() {
                        match (at == left_out, empty) {
                            (true, true) => http = http.header(name, ""),
                            (true, false) => {}
                            (false, _) => http = http.header(name, value),
                        }
                    }
                    http
                };
                wrong.push((with(false), "MISSING_PARAMS"));
                wrong.push((with(true), "MISSING_PARAMS"));
            }
            let key = |app_id: &str, key: &str| {
                plain().header("X-App-Id", app_id).header("X-Device-Id", "phone").header("X-Api-Key", key)
            };
            wrong.push((key(&app.app_id, "rhq_key_wrong"), "INVALID_CREDENTIALS"));
            wrong.push((key(&app.app_id, &other.api_key), "INVALID_CREDENTIALS"));
            wrong.push((key(&other.app_id, &app.api_key), "INVALID_CREDENTIALS"));
            wrong.push((key("app_unknown", &app.api_key), "INVALID_CREDENTIALS"));
            wrong.push((key(&app.app_id, &app.admin_token), "INVALID_CREDENTIALS"));
            wrong.push((app.as_device(&"d".repeat(129)), "VALIDATION_ERROR"));
            wrong.push((app.as_agent(), "MISSING_PARAMS"));
        }
        for (http, code) in wrong {
            assert_eq!(route.with(&http, None).await.failure(), (401, code), "{} {http:?}", route.name());
        }
        route.with(&route.as_its_own(app), None).await.ok();
    }
}

#[tokio::test]
async fn every_route_that_takes_a_body_answers_a_bad_one_with_its_code() {
    let server = TestServer::without_limits().await;
    let scene = scene(&server).await;
    for route in routes(&scene) {
        let Some(good) = &route.good else { continue };
        let http = route.as_its_own(&scene.app);
        let send = async |body: &[u8]| http.send(route.method.clone(), &route.path, body.to_vec()).await;
        for text in ["null", "1", "\"x\"", "[]", "[\"1\",\"x\"]", "{", "x", "{\"a\":1,}", "\u{feff}{}", "\0"]
        {
            let answer = send(text.as_bytes()).await;
            assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{} {text}", route.name());
        }
        let mut oversized = good.clone();
        oversized["unheard_of"] = json!("x".repeat(64 * 1024));
        assert_eq!(send(oversized.to_string().as_bytes()).await.failure(), (413, "MESSAGE_TOO_LONG"));
        for (name, status, code) in &route.fields {
            let with = |value: Value| {
                let mut body = good.clone();
                body[*name] = value;
                body
            };
            for wrong in of_wrong_types() {
                let answer = route.with(&http, Some(&with(wrong.clone()))).await;
                assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{} {name}: {wrong}", route.name());
            }
            let not_utf8 = [format!("{{\"{name}\":\"").as_bytes(), b"\xff\xfe\"}"].concat();
            assert_eq!(send(&not_utf8).await.failure(), (400, "VALIDATION_ERROR"), "{}", route.name());
            let nested = format!("{{\"{name}\":{}1{}}}", "[".repeat(200), "]".repeat(200));
            assert_eq!(
                send(nested.as_bytes()).await.failure(),
                (400, "VALIDATION_ERROR"),
                "{}",
                route.name()
            );
            let answer = route.with(&http, Some(&with(json!("x".repeat(10_000))))).await;
            assert_eq!(answer.failure(), (*status, *code), "{} {name}", route.name());
            let mut missing = good.clone();
            missing.as_object_mut().unwrap().remove(*name);
            assert_eq!(
                route.with(&http, Some(&missing)).await.failure(),
                (400, "MISSING_PARAMS"),
                "{}",
                route.name()
            );
        }
        let mut extended = good.clone();
        extended["unheard_of"] = json!([1, { "deeper": null }]);
        route.with(&http, Some(&extended)).await.ok();
    }
}

#[tokio::test]
async fn a_person_that_is_described_badly_is_refused() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let http = app.as_device("phone");
    for (user, code) in [
        (json!({}), "MISSING_PARAMS"),
        (json!({ "id": "" }), "MISSING_PARAMS"),
        (json!({ "id": 1 }), "VALIDATION_ERROR"),
        (json!([]), "VALIDATION_ERROR"),
        (json!("u1"), "VALIDATION_ERROR"),
        (json!({ "id": "x".repeat(257) }), "VALIDATION_ERROR"),
        (json!({ "id": "a\0b" }), "VALIDATION_ERROR"),
        (json!({ "id": "u1", "name": 1 }), "VALIDATION_ERROR"),
        (json!({ "id": "u1", "name": "x".repeat(257) }), "VALIDATION_ERROR"),
        (json!({ "id": "u1", "email": "x".repeat(257) }), "VALIDATION_ERROR"),
        (json!({ "id": "u1", "attributes": [] }), "VALIDATION_ERROR"),
        (json!({ "id": "u1", "attributes": { "a": "x".repeat(8 * 1024) } }), "VALIDATION_ERROR"),
        (json!({ "id": "u1", "attributes": { "a": "\0" } }), "VALIDATION_ERROR"),
    ] {
        for path in ["/v1/identify", "/v1/conversations"] {
            let answer = http.post(path, &json!({ "user": user })).await;
            assert_eq!(answer.failure(), (400, code), "{path} {}", shown(&user));
        }
    }
    assert_eq!(http.post("/v1/identify", &json!({})).await.failure(), (400, "MISSING_PARAMS"));
    for context in [json!([]), json!("x"), json!({ "a": "x".repeat(8 * 1024) })] {
        let answer = http.post("/v1/conversations", &json!({ "device_context": context })).await;
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{}", shown(&context));
    }
    assert_eq!(
        http.get("/v1/conversations").await.ok()["conversations"],
        json!([]),
        "nothing was opened by that"
    );
}

#[tokio::test]
async fn every_route_with_an_id_answers_what_is_not_there_with_404() {
    let server = TestServer::without_limits().await;
    let scene = scene(&server).await;
    for route in routes(&scene) {
        let Some(id) = &route.id else { continue };
        let http = route.as_its_own(&scene.app);
        let mut ids = vec![
            "conv_unknown".to_owned(),
            "x".repeat(5_000),
            "%00".into(),
            "%E6%BC%A2".into(),
            "..%2F..".into(),
        ];
        ids.push(scene.elsewhere[1].clone());
        if !route.is_admin {
            ids.push(scene.elsewhere[0].clone());
        }
        for unknown in ids {
            let path = route.path.replace(id.as_str(), &unknown);
            let body = route.good.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default();
            let answer = http.send(route.method.clone(), &path, body).await;
            assert_eq!(answer.failure(), (404, "CONVERSATION_NOT_FOUND"), "{} {path}", route.method);
        }
        let path = route.path.replace(id.as_str(), "%FF%FE");
        let body = route.good.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let answer = http.send(route.method.clone(), &path, body).await;
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{} {path}: no UTF-8", route.method);
    }
    let broken = scene.app.as_agent().get("/v1/admin/devices/%FF/presence").await;
    assert_eq!(broken.failure(), (400, "VALIDATION_ERROR"));
}

#[tokio::test]
async fn every_list_answers_a_bad_query_with_its_code_and_ignores_what_it_does_not_know() {
    let server = TestServer::without_limits().await;
    let scene = scene(&server).await;
    for route in routes(&scene) {
        if route.method != Method::GET
            || route.path.ends_with("presence")
            || route.path.ends_with("unread")
            || route.path.ends_with(&scene.conversation)
        {
            continue;
        }
        let http = route.as_its_own(&scene.app);
        let mut wrong = vec![
            "limit=x",
            "limit=-1",
            "limit=0",
            "limit=1.5",
            "limit=",
            "limit=99999999999999999999999",
            "limit=1&limit=2",
        ];
        if route.path == "/v1/admin/conversations" {
            wrong.extend(["status=closed", "after=x", "after=x-y", "after=1"]);
        }
        if route.path.ends_with("audit") {
            wrong.extend(["before=x", "before=-1"]);
        }
        for query in wrong {
            let answer = http.get(&format!("{}?{query}", route.path)).await;
            assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{} {query}", route.path);
        }
        for query in ["unheard_of=1", "limit=4294967295", "", "&&=&", "%ff=%ff"] {
            http.get(&format!("{}?{query}", route.path)).await.ok();
        }
    }
}

#[tokio::test]
async fn what_is_no_route_or_no_method_of_it_is_told_in_the_one_shape() {
    let server = TestServer::start().await;
    let scene = scene(&server).await;
    for path in
        ["/", "/v1", "/v2/conversations", "/v1/conversations/", "/v1/admin", "//v1/conversations", "/%ff"]
    {
        let answer = scene.app.as_device("phone").get(path).await;
        assert_eq!(answer.failure(), (404, "VALIDATION_ERROR"), "{path}");
    }
    for route in routes(&scene) {
        let answer = route.as_its_own(&scene.app).send(Method::DELETE, &route.path, Vec::new()).await;
        assert_eq!(answer.failure(), (405, "VALIDATION_ERROR"), "{}", route.path);
    }
}
