//! P8: nothing of one app is visible to, or changed by, a credential of another; nothing of one device by another
//! device; nothing without the permission it needs. A matrix of every route and event against every wrong credential.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Method;
use serde_json::{Value, json};
use testkit::{Client, Http, TestApp, TestServer, Wire};

pub(crate) const ALL: [&str; 5] =
    ["view_sessions", "view_presence", "view_conversations", "send_messages", "manage"];

/// One REST route: what to send, and the permission that it needs (agents only).
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    body: Value,
    /// Several have spaces between, and a bar where either is enough; none is "".
    pub(crate) permission: Option<&'static str>,
}

fn route(method: Method, path: &'static str, body: Value, permission: Option<&'static str>) -> Route {
    Route { method, path, body, permission }
}

pub(crate) fn routes() -> Vec<Route> {
    let send = || json!({ "local_id": "intruder-{unique}", "body": "I should not be here" });
    let receipt = || json!({ "up_to_message_id": "{message}" });
    vec![
        route(Method::POST, "/v1/conversations", json!({}), None),
        route(Method::GET, "/v1/conversations", Value::Null, None),
        route(Method::GET, "/v1/unread", Value::Null, None),
        route(Method::POST, "/v1/device-context", json!({ "device_context": {} }), None),
        route(Method::POST, "/v1/conversations/{id}/messages", send(), None),
        route(Method::GET, "/v1/conversations/{id}/messages", Value::Null, None),
        route(Method::POST, "/v1/conversations/{id}/messages/delivered", receipt(), None),
        route(Method::POST, "/v1/conversations/{id}/messages/read", receipt(), None),
        route(Method::POST, "/v1/identify", json!({ "user": { "id": "mallory" } }), None),
        route(Method::GET, "/v1/admin/conversations", Value::Null, Some("view_conversations")),
        route(Method::GET, "/v1/admin/conversations/counts", Value::Null, Some("view_conversations")),
        route(Method::GET, "/v1/admin/tags", Value::Null, Some("view_conversations")),
        route(Method::POST, "/v1/admin/tags", json!({ "tag": "intruder-{unique}" }), Some("manage")),
        route(Method::DELETE, "/v1/admin/tags/{tag}", Value::Null, Some("manage")),
        route(Method::GET, "/v1/admin/search?q=hush", Value::Null, Some("view_conversations")),
        route(Method::GET, "/v1/admin/conversations/{id}", Value::Null, Some("view_conversations")),
        route(
            Method::PATCH,
            "/v1/admin/conversations/{id}",
            json!({ "status": "resolved" }),
            Some("send_messages"),
        ),
        route(
            Method::PATCH,
            "/v1/admin/conversations/{id}",
            json!({ "add_tags": ["intruder"], "marked_unread": true }),
            Some("send_messages"),
        ),
        route(
            Method::PATCH,
            "/v1/admin/conversations/{id}/person",
            json!({ "about": "intruder {unique}" }),
            Some("send_messages view_conversations"),
        ),
        route(Method::GET, "/v1/admin/conversations/{id}/messages", Value::Null, Some("view_conversations")),
        route(Method::POST, "/v1/admin/conversations/{id}/messages", send(), Some("send_messages")),
        route(Method::GET, "/v1/admin/conversations/{id}/activity", Value::Null, Some("view_conversations")),
        route(
            Method::POST,
            "/v1/admin/conversations/{id}/notes",
            send(),
            Some("send_messages view_conversations"),
        ),
        route(Method::GET, "/v1/admin/sessions", Value::Null, Some("view_sessions")),
        route(Method::GET, "/v1/admin/stats", Value::Null, Some("view_sessions")),
        route(Method::GET, "/v1/admin/devices/{device_id}/presence", Value::Null, Some("view_presence")),
        route(Method::GET, "/v1/admin/audit", Value::Null, Some("manage")),
        route(Method::GET, "/v1/admin/conversations/{id}/person", Value::Null, Some("view_conversations")),
        route(
            Method::PATCH,
            "/v1/admin/devices/{device_id}",
            json!({ "blocked": false }),
            Some("send_messages view_conversations"),
        ),
        route(
            Method::PATCH,
            "/v1/admin/people/{user_id}",
            json!({ "blocked": false }),
            Some("send_messages view_conversations"),
        ),
        route(Method::POST, "/v1/admin/devices/{device_id}/unbind", json!({}), Some("manage")),
        route(Method::POST, "/v1/admin/devices/{device_id}/reset", json!({}), Some("manage")),
        route(Method::GET, "/v1/admin/app", Value::Null, Some("manage")),
        route(Method::PATCH, "/v1/admin/app", json!({ "name": "Shop" }), Some("manage")),
        route(Method::POST, "/v1/admin/app/key", json!({ "keep_old_for_days": 9 }), Some("manage")),
        route(Method::DELETE, "/v1/admin/app/old-key", Value::Null, Some("manage")),
        route(Method::GET, "/v1/admin/tokens", Value::Null, Some("manage")),
        route(
            Method::POST,
            "/v1/admin/tokens",
            json!({ "name": "Eve", "permissions": ["manage"] }),
            Some("manage"),
        ),
        route(Method::DELETE, "/v1/admin/tokens/{token_id}", Value::Null, Some("manage")),
        route(Method::GET, "/v1/admin/app/identity-keys", Value::Null, Some("manage")),
        route(Method::POST, "/v1/admin/app/identity-keys", json!({}), Some("manage")),
        route(Method::DELETE, "/v1/admin/app/identity-keys/{key_id}", Value::Null, Some("manage")),
        route(Method::GET, "/v1/admin/agents", Value::Null, Some("view_conversations|manage")),
        route(
            Method::POST,
            "/v1/admin/agents",
            json!({ "name": "Eve", "email": "eve@example.com", "role": "viewer" }),
            Some("manage"),
        ),
        route(Method::PATCH, "/v1/admin/agents/{agent_id}", json!({ "name": "Eve" }), Some("manage")),
        route(Method::POST, "/v1/admin/agents/{agent_id}/reset", json!({}), Some("manage")),
        route(Method::GET, "/v1/admin/canned-replies", Value::Null, Some("view_conversations")),
        route(
            Method::POST,
            "/v1/admin/canned-replies",
            json!({ "shortcut": "intruder-{unique}", "text": "Hi" }),
            Some("manage"),
        ),
        route(
            Method::PATCH,
            "/v1/admin/canned-replies/{canned_reply_id}",
            json!({ "text": "Hi" }),
            Some("manage"),
        ),
        route(Method::DELETE, "/v1/admin/canned-replies/{canned_reply_id}", Value::Null, Some("manage")),
        // These ask nothing but a session of one's own.
        route(Method::GET, "/v1/admin/me", Value::Null, Some("")),
        route(Method::PATCH, "/v1/admin/me", json!({ "name": "Eve" }), Some("")),
        route(Method::GET, "/v1/admin/sign-ins", Value::Null, Some("")),
        route(Method::DELETE, "/v1/admin/sign-ins", Value::Null, Some("")),
        route(Method::DELETE, "/v1/admin/sign-ins/{sign_in_id}", Value::Null, Some("")),
        route(Method::POST, "/v1/auth/sign-out", json!({}), Some("")),
    ]
}

/// Who asks the same under the same name is somebody else each time.
static ASKED: AtomicU64 = AtomicU64::new(0);

impl Route {
    pub(crate) fn is_agents(&self) -> bool {
        self.permission.is_some()
    }

    pub(crate) fn names_a_conversation(&self) -> bool {
        self.path.contains("{id}")
    }

    pub(crate) async fn ask(&self, http: &Http, victim: &Victim) -> testkit::Answer {
        let path = self.path.replace("{id}", &victim.conversation).replace("{device_id}", "phone");
        let path = path.replace("{user_id}", "ann").replace("{key_id}", "idk_unknown");
        let path = path
            .replace("{agent_id}", "agt_unknown")
            .replace("{sign_in_id}", "tok_unknown")
            .replace("{canned_reply_id}", "can_unknown")
            .replace("{tag}", "unknown")
            .replace("{token_id}", "tok_unknown");
        let body = match &self.body {
            Value::Null => Vec::new(),
            body => {
                let unique = ASKED.fetch_add(1, Ordering::Relaxed).to_string();
                body.to_string().replace("{message}", &victim.message).replace("{unique}", &unique).into()
            }
        };
        http.send(self.method.clone(), &path, body).await
    }
}

/// One socket event: its payload, and the permission that it needs (agents only; "" is none).
pub(crate) fn client_events() -> Vec<(&'static str, Value)> {
    let conversation = json!({ "conversation_id": "{id}" });
    vec![
        ("conversation:join", json!({ "conversation_id": "{id}", "after": "" })),
        ("conversation:leave", conversation.clone()),
        ("message:send", json!({ "conversation_id": "{id}", "local_id": "intruder", "body": "x" })),
        ("typing:start", conversation.clone()),
        ("typing:stop", conversation),
        ("delivery:receipt", json!({ "message_id": "{message}" })),
        ("delivery:receipt", json!({ "conversation_id": "{id}", "up_to_message_id": "{message}" })),
        ("message:read", json!({ "conversation_id": "{id}", "up_to_message_id": "{message}" })),
    ]
}

fn admin_events() -> Vec<(&'static str, Value, &'static str)> {
    let conversation = json!({ "conversation_id": "{id}" });
    vec![
        ("app:subscribe", json!({ "app_id": "{app}" }), ""),
        (
            "conversation:join",
            json!({ "conversation_id": "{id}", "after": "", "after_activity": 0 }),
            "view_conversations",
        ),
        ("conversation:leave", conversation.clone(), ""),
        (
            "message:send",
            json!({ "conversation_id": "{id}", "local_id": "intruder", "body": "x" }),
            "send_messages",
        ),
        ("typing:start", conversation.clone(), "send_messages"),
        ("typing:stop", conversation, "send_messages"),
        (
            "message:read",
            json!({ "conversation_id": "{id}", "up_to_message_id": "{message}" }),
            "view_conversations",
        ),
        ("sessions:list", json!({ "app_id": "{app}" }), "view_sessions"),
        ("conversation:viewing", json!({ "conversation_id": "{id}" }), "view_conversations"),
    ]
}

/// Whose things the others are after: a conversation with messages of both sides, and everyone who would hear of it.
pub(crate) struct Victim {
    pub(crate) app: TestApp,
    pub(crate) conversation: String,
    message: String,
    pub(crate) device: Client,
    pub(crate) agent: Client,
    pub(crate) before: Value,
}

impl Victim {
    pub(crate) async fn of(server: &TestServer) -> Self {
        let app = server.app().await;
        // Before there is anything to hear of: who comes later is told of it once more by the look at what was missed.
        let mut agent = app.agent().await;
        let conversation = app.conversation("phone").await;
        let path = format!("/v1/conversations/{conversation}/messages");
        app.as_device("phone").post(&path, &json!({ "local_id": "1", "body": "hush: question" })).await.ok();
        let path = format!("/v1/admin{}", &path[3..]);
        let answer =
            app.as_agent().post(&path, &json!({ "local_id": "2", "body": "hush: answer" })).await.ok();
        let message = answer["message"]["id"].as_str().unwrap().to_owned();
        let notes = format!("/v1/admin/conversations/{conversation}/notes");
        app.as_agent().post(&notes, &json!({ "local_id": "3", "body": "hush: note" })).await.ok();
        let mut device = app.device("phone").await;
        device.expect("conversation:joined").await;
        for name in ["session:connect", "presence:change"] {
            agent.expect(name).await;
        }
        agent.done("conversation:join", json!({ "conversation_id": conversation })).await;
        while agent.expect("conversation:updated").await["conversation"]["last_seq"] != 2 {}
        let before = state(&app, &conversation).await;
        Self { app, conversation, message, device, agent, before }
    }

    pub(crate) fn fill(&self, payload: &Value) -> Value {
        let text = payload.to_string();
        let text = text.replace("{id}", &self.conversation).replace("{message}", &self.message);
        serde_json::from_str(&text.replace("{app}", &self.app.app_id)).unwrap()
    }

    /// Nothing has changed, and nobody has heard anything.
    pub(crate) async fn is_untouched(&mut self, by: &str) {
        assert_eq!(state(&self.app, &self.conversation).await, self.before, "changed by {by}");
        for client in [&mut self.device, &mut self.agent] {
            for name in [
                "message:new",
                "message:status",
                "user:typing",
                "agent:typing",
                "conversation:updated",
                "activity:new",
                "agent:viewing",
            ] {
                assert_eq!(client.settled(name).await, Vec::<Value>::new(), "{name} by {by}");
            }
        }
    }
}

/// All that could be changed.
pub(crate) async fn state(app: &TestApp, conversation: &str) -> Value {
    let path = format!("/v1/admin/conversations/{conversation}");
    let row = app.as_agent().get(&path).await.ok();
    let messages = app.as_agent().get(&format!("{path}/messages")).await.ok();
    let activity = app.as_agent().get(&format!("{path}/activity")).await.ok();
    let about = app.as_agent().get(&format!("{path}/person")).await.ok()["about"].clone();
    json!([row, messages, activity, about])
}

/// Whether an answer tells anything of the victim.
pub(crate) fn tells(answer: &str, victim: &Victim) -> bool {
    ["hush", victim.message.as_str(), "\"phone\""].iter().any(|secret| answer.contains(secret))
}

/// As [`tells`], of all that has come to a client, as it came: on either wire a text stands in it as it is.
pub(crate) fn is_told(client: &Client, victim: &Victim) -> bool {
    // The device's name, as JSON and as MessagePack have it.
    let secrets = ["hush", victim.message.as_str(), "\"phone\"", "\u{a5}phone"];
    secrets.iter().any(|secret| heard(client).contains(secret))
}

/// All that has come to a client, each byte a character.
fn heard(client: &Client) -> String {
    client.heard().iter().copied().map(char::from).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_has_every_route_of_the_openapi_document() {
    let server = TestServer::start().await;
    let document = server.http().get("/openapi.json").await.ok();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let tested: BTreeSet<_> = routes()
        .iter()
        .map(|route| format!("{} {}", route.method, route.path.split('?').next().unwrap()))
        .collect();
    // These are what credentials are had by: tests of their own try them.
    let public = ["POST /v1/auth/code", "POST /v1/auth/sign-in"].map(str::to_owned);
    assert_eq!(documented, tested.union(&public.into()).cloned().collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_opens_to_a_credential_that_is_missing_wrong_expired_or_revoked() {
    // After each of them all is read that could have changed.
    let server = TestServer::with(&["--rate-limits=read.agent=60000/10000"]).await;
    let mut victim = Victim::of(&server).await;
    let other = server.app().await;
    let app = victim.app.clone();
    let none = server.http();
    let device = |app_id: &str, device_id: &str, api_key: &str| {
        server.http().header("X-App-Id", app_id).header("X-Device-Id", device_id).header("X-Api-Key", api_key)
    };
    let (revoked_id, revoked) = app.token(&ALL).await;
    app.command(&["token", "revoke", &revoked_id]).await;
    let (_, expired) = app.token_with(&ALL, &["--expires-in", "1ms"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let devices_credentials = [
        ("none", none.clone()),
        ("a wrong key", device(&app.app_id, "phone", "rhq_key_0000")),
        ("an empty key", device(&app.app_id, "phone", "")),
        ("another app's key", device(&app.app_id, "phone", &other.api_key)),
        ("its key with another app's id", device(&other.app_id, "phone", &app.api_key)),
        ("an unknown app", device("app_unknown", "phone", &app.api_key)),
        ("an admin token as key", device(&app.app_id, "phone", &app.admin_token)),
        ("only an admin token", app.as_agent()),
    ];
    let agents_credentials = [
        ("none", none),
        ("nonsense", app.as_agent_with("nonsense")),
        ("the public key", app.as_agent_with(&app.api_key)),
        ("a revoked token", app.as_agent_with(&revoked)),
        ("an expired token", app.as_agent_with(&expired)),
        ("a device", app.as_device("phone")),
        ("another scheme", server.http().header("Authorization", &format!("Basic {}", app.admin_token))),
    ];
    for route in routes() {
        let credentials: &[(&str, Http)] =
            if route.is_agents() { &agents_credentials } else { &devices_credentials };
        for (name, http) in credentials {
            let by = format!("{} {} with {name}", route.method, route.path);
            let answer = route.ask(http, &victim).await;
            let (status, code) = answer.failure();
            assert_eq!(status, 401, "{by}: {}", answer.text);
            assert!(["MISSING_PARAMS", "INVALID_CREDENTIALS"].contains(&code), "{by}: {code}");
            assert!(!tells(&answer.text, &victim), "{by}: {}", answer.text);
            victim.is_untouched(&by).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_shows_or_changes_what_is_another_apps_or_another_devices() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    let other = server.app().await;
    let strangers = [
        ("another app's device of the same name", other.as_device("phone"), false),
        ("another device", victim.app.as_device("tablet"), false),
        ("another app's agent", other.as_agent(), true),
    ];
    for route in routes() {
        for (name, http, is_agent) in &strangers {
            if *is_agent != route.is_agents() {
                continue;
            }
            let by = format!("{} {} by {name}", route.method, route.path);
            let answer = route.ask(http, &victim).await;
            if route.names_a_conversation() {
                assert_eq!(answer.failure(), (404, "CONVERSATION_NOT_FOUND"), "{by}");
            }
            assert!(!answer.text.contains("hush") && !answer.text.contains(&victim.message), "{by}");
            assert!(!answer.text.contains(&victim.conversation), "{by}: {}", answer.text);
            if name.ends_with("agent") {
                assert_ne!(answer.json["is_online"], true, "{by}");
                assert_eq!(answer.json["sessions"].as_array().map_or(0, Vec::len), 0, "{by}");
            }
            // The tablet has a conversation of its own by now, which the victim's agent rightly hears of.
            victim.agent.settled("conversation:updated").await;
            victim.is_untouched(&by).await;
        }
    }
}

fn user(id: &str) -> Value {
    json!({ "user": { "id": id, "name": id } })
}

/// The next time that the client hears that somebody else is at its device, and its end.
async fn is_turned_out(mut client: Client) {
    assert_eq!(client.expect("error").await["code"], "IDENTITY_CHANGED");
    assert!(!client.closed().await, "a stock client would not come back");
    assert!(!client.untaken().contains(&"message:new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_person_is_shown_to_or_changed_by_the_next_person_on_the_same_device() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    let app = victim.app.clone();
    let phone = app.as_device("phone");
    // What nobody has written becomes the first person's.
    phone.post("/v1/identify", &user("ann")).await.ok();
    assert_eq!(state(&app, &victim.conversation).await[0]["conversation"]["user_id"], "ann");
    victim.agent.expect("conversation:updated").await;
    assert_eq!(victim.agent.expect("activity:new").await["kind"], "identified");
    assert_eq!(
        phone.get("/v1/conversations").await.ok()["conversations"][0]["id"],
        victim.conversation.as_str()
    );
    victim.before = state(&app, &victim.conversation).await;
    let anns = std::mem::replace(&mut victim.device, app.device("other").await);
    // Bob comes by an open conversation, and nobody by `null`; each finds nothing of Ann's.
    for next in [user("bob"), json!({ "user": null })] {
        phone.post("/v1/identify", &next).await.ok();
        for route in routes().iter().filter(|route| !route.is_agents() && !route.path.contains("identify")) {
            let by = format!("{} {} as {next}", route.method, route.path);
            let answer = route.ask(&phone, &victim).await;
            if route.names_a_conversation() {
                assert_eq!(answer.failure(), (404, "CONVERSATION_NOT_FOUND"), "{by}");
            } else {
                assert_eq!(answer.status, 200, "{by}: {}", answer.text);
            }
            for secret in ["hush", "ann", &victim.conversation] {
                assert!(!answer.text.contains(secret), "{by}: {}", answer.text);
            }
            victim.agent.settled("conversation:updated").await;
            victim.is_untouched(&by).await;
        }
        let mut devices = Vec::new();
        for wire in Wire::ALL {
            let auth = app.device_auth("phone");
            let mut device = Client::connect_by(wire, app.address, "/client", auth).await.unwrap();
            assert_ne!(
                device.expect("conversation:joined").await["conversation_id"],
                victim.conversation.as_str()
            );
            for (name, payload) in client_events() {
                let by = format!("{name} as {next} in {wire:?}");
                let answer = device.call(name, victim.fill(&payload)).await;
                assert_eq!(answer["success"], false, "{by}");
                victim.is_untouched(&by).await;
            }
            devices.push(device);
        }
        // Agents see whose it is, and go on writing to whom it was.
        let path = format!("/v1/admin/conversations/{}/messages", victim.conversation);
        let more = json!({ "local_id": next.to_string().len().to_string(), "body": "hush: for Ann" });
        app.as_agent().post(&path, &more).await.ok();
        for device in &mut devices {
            assert_eq!(device.settled("message:new").await, [] as [Value; 0]);
            assert!(!heard(device).contains("hush"), "as {next}");
        }
        for name in ["message:new", "conversation:updated"] {
            victim.agent.expect(name).await;
        }
        victim.before = state(&app, &victim.conversation).await;
        assert_eq!(victim.before[0]["conversation"]["user_id"], "ann");
    }
    is_turned_out(anns).await;
    // Ann is back, and finds all of it; and where the phone is nobody's, nobody's conversation is hers.
    phone.post("/v1/identify", &user("ann")).await.ok();
    let path = format!("/v1/conversations/{}/messages", victim.conversation);
    assert_eq!(phone.get(&path).await.ok()["messages"].as_array().unwrap().len(), 4);
    let owners = app.as_agent().get("/v1/admin/conversations").await.ok();
    let mut owners: Vec<_> =
        owners["conversations"].as_array().unwrap().iter().map(|row| row["user_id"].clone()).collect();
    owners.sort_by_key(Value::to_string);
    assert_eq!(owners, [json!("ann"), json!("ann"), json!("bob")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_of_a_device_is_turned_out_when_somebody_else_comes_and_by_nothing_less() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let phone = app.as_device("phone");
    phone.post("/v1/conversations", &json!({})).await.ok();
    let mut tabs = vec![app.device("phone").await, app.device("phone").await];
    let mut bystander = app.device("tablet").await;
    // Somebody where nobody was, the same person again, or by another name, ends nothing.
    for again in [user("ann"), user("ann"), json!({ "user": { "id": "ann", "name": "Ann" } })] {
        phone.post("/v1/identify", &again).await.ok();
        phone.post("/v1/conversations", &again).await.ok();
    }
    for tab in &mut tabs {
        assert_eq!(tab.call("ping", json!({})).await, "pong");
        tab.settled("conversation:joined").await;
        tab.settled("connected").await;
    }
    let opened = phone.post("/v1/conversations", &user("bob")).await.ok();
    assert_eq!(opened["conversation"]["user_id"], "bob");
    for tab in tabs {
        is_turned_out(tab).await;
    }
    assert_eq!(bystander.call("ping", json!({})).await, "pong");
    // Who comes back is Bob, in Bob's conversation.
    let mut agent = app.agent().await;
    let mut tab = app.device("phone").await;
    assert_eq!(tab.expect("conversation:joined").await["conversation_id"], opened["conversation"]["id"]);
    assert_eq!(agent.expect("session:connect").await["user_info"]["user_id"], "bob");
    // Left out is not nobody.
    let answer = phone.post("/v1/identify", &json!({})).await;
    assert_eq!(answer.failure(), (400, "MISSING_PARAMS"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_opens_without_its_permission_and_each_does_with_it_alone() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    for route in routes().iter().filter(|route| route.is_agents()) {
        for needed in route.permission.unwrap().split_whitespace() {
            let is_enough = |permission: &str| needed.split('|').any(|one| one == permission);
            let others: Vec<_> = ALL.into_iter().filter(|permission| !is_enough(permission)).collect();
            let (_, without) = victim.app.token(&others).await;
            let by = format!("{} {} without {needed}", route.method, route.path);
            let answer = route.ask(&victim.app.as_agent_with(&without), &victim).await;
            assert_eq!(answer.failure(), (403, "FORBIDDEN"), "{by}");
            assert!(!tells(&answer.text, &victim), "{by}: {}", answer.text);
            victim.is_untouched(&by).await;
        }
    }
    for route in routes().iter().filter(|route| route.is_agents()) {
        let needed: Vec<Vec<_>> =
            route.permission.unwrap().split_whitespace().map(|either| either.split('|').collect()).collect();
        let ways = needed.iter().map(Vec::len).max().unwrap_or(1);
        for way in 0..ways {
            let enough: Vec<_> = needed.iter().map(|either| either[way % either.len()]).collect();
            let (_, with) = victim.app.token(&enough).await;
            let answer = route.ask(&victim.app.as_agent_with(&with), &victim).await;
            let is_for_people = route.permission == Some("") && answer.json["code"] == "FORBIDDEN";
            // What is named may not be there: then it is that what is told.
            assert!(
                answer.status < 300 || answer.json["code"] == "NOT_FOUND" || is_for_people,
                "{} {} with {enough:?}: {}",
                route.method,
                route.path,
                answer.text
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_namespace_opens_to_a_wrong_credential() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    let other = server.app().await;
    let app = victim.app.clone();
    let (revoked_id, revoked) = app.token(&ALL).await;
    app.command(&["token", "revoke", &revoked_id]).await;
    let (_, expired) = app.token_with(&ALL, &["--expires-in", "1ms"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let device =
        |app_id: &str, api_key: &str| json!({ "app_id": app_id, "device_id": "phone", "api_key": api_key });
    let agent = |app_id: &str, token: &str| json!({ "app_id": app_id, "admin_token": token });
    let cases = [
        ("/client", device(&app.app_id, "wrong"), "INVALID_CREDENTIALS"),
        ("/client", device(&app.app_id, &other.api_key), "INVALID_CREDENTIALS"),
        ("/client", device(&other.app_id, &app.api_key), "INVALID_CREDENTIALS"),
        ("/client", device(&app.app_id, &app.admin_token), "INVALID_CREDENTIALS"),
        ("/client", device(&app.app_id, ""), "MISSING_PARAMS"),
        ("/client", agent(&app.app_id, &app.admin_token), "MISSING_PARAMS"),
        ("/client", json!({}), "MISSING_PARAMS"),
        ("/admin", agent(&app.app_id, "wrong"), "INVALID_CREDENTIALS"),
        ("/admin", agent(&app.app_id, &other.admin_token), "INVALID_CREDENTIALS"),
        ("/admin", agent(&other.app_id, &app.admin_token), "INVALID_CREDENTIALS"),
        ("/admin", agent(&app.app_id, &app.api_key), "INVALID_CREDENTIALS"),
        ("/admin", agent(&app.app_id, &revoked), "INVALID_CREDENTIALS"),
        ("/admin", agent(&app.app_id, &expired), "INVALID_CREDENTIALS"),
        ("/admin", agent(&app.app_id, ""), "MISSING_PARAMS"),
        ("/admin", device(&app.app_id, &app.api_key), "MISSING_PARAMS"),
        ("/admin", json!({}), "MISSING_PARAMS"),
    ];
    for (namespace, auth, code) in cases {
        for wire in Wire::ALL {
            let refusal = Client::connect_by(wire, server.address(), namespace, auth.clone()).await.err();
            let refusal = refusal.unwrap_or_else(|| panic!("{namespace} {auth} was let in by {wire:?}"));
            assert_eq!(refusal.message, code, "{namespace} {auth} {wire:?}");
            assert!(!tells(&refusal.data.to_string(), &victim));
        }
    }
    assert_eq!(victim.agent.settled("presence:change").await, Vec::<Value>::new());
    victim.is_untouched("a refused connection").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_shows_or_changes_what_is_another_apps_or_another_devices() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    let other = server.app().await;
    let mut listening = Vec::new();
    for wire in Wire::ALL {
        let connect = async |namespace, auth| {
            Client::connect_by(wire, server.address(), namespace, auth).await.unwrap()
        };
        let strangers = [
            ("another app's device", connect("/client", other.device_auth("phone")).await),
            ("another device", connect("/client", victim.app.device_auth("tablet")).await),
        ];
        for (name, mut stranger) in strangers {
            for (event, payload) in client_events() {
                let by = format!("{event} by {name} in {wire:?}");
                let payload = victim.fill(&payload);
                let by_message = payload["conversation_id"].is_null();
                let code = stranger.refused(event, payload).await;
                let expected = if by_message { "MESSAGE_NOT_FOUND" } else { "CONVERSATION_NOT_FOUND" };
                assert_eq!(code, expected, "{by}");
                victim.is_untouched(&by).await;
            }
            listening.push((wire, name, stranger));
        }
        let mut agent = connect("/admin", other.agent_auth()).await;
        for (event, payload, _) in admin_events() {
            let by = format!("{event} by another app's agent in {wire:?}");
            let code = agent.refused(event, victim.fill(&payload)).await;
            let expected = if payload["app_id"].is_null() { "CONVERSATION_NOT_FOUND" } else { "FORBIDDEN" };
            assert_eq!(code, expected, "{by}");
            victim.is_untouched(&by).await;
        }
        listening.push((wire, "another app's agent", agent));
    }
    // And nothing of the victim's life comes to them by itself.
    let send = json!({ "conversation_id": victim.conversation, "local_id": "3", "body": "hush: secret" });
    victim.device.done("message:send", send).await;
    victim.app.device("phone").await.expect("connected").await;
    for (wire, name, mut client) in listening {
        assert_eq!(client.call("ping", json!({})).await, "pong");
        let heard = heard(&client);
        // Of a device of that name they hear, where it is their own.
        for secret in ["hush", &victim.message, &victim.conversation, &victim.app.app_id] {
            assert!(!heard.contains(secret), "{secret} to {name} in {wire:?}: {:?}", client.untaken());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_does_anything_without_its_permission() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    for (event, payload, needed) in admin_events().into_iter().filter(|(_, _, needed)| !needed.is_empty()) {
        let others: Vec<_> = ALL.into_iter().filter(|permission| *permission != needed).collect();
        let (_, token) = victim.app.token(&others).await;
        let auth = json!({ "app_id": victim.app.app_id, "admin_token": token });
        for wire in Wire::ALL {
            let agent = Client::connect_by(wire, server.address(), "/admin", auth.clone()).await;
            let by = format!("{event} without {needed} in {wire:?}");
            assert_eq!(agent.unwrap().refused(event, victim.fill(&payload)).await, "FORBIDDEN", "{by}");
            victim.is_untouched(&by).await;
        }
    }
}
