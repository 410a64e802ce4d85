//! P8 among people: a verified person's conversation against everybody who comes near it, over every route and event, REST,
//! sockets and the wire of old clients; and each role, ended session and disabled agent against every route of agents.

use serde_json::{Value, json};
use testkit::{Client, Http, OldPhone, TestApp, TestServer, Wire, token_of};

use crate::p8_separate::{Victim, client_events, is_told, routes, state, tells};

const PHONE: &str = "phone-secret-of-32-characters-or-more";
const OTHER: &str = "other-secret-of-32-characters-or-more";

/// The victim as a verified person: their conversation is Ann's, at a device with a secret.
async fn verified(server: &TestServer) -> (Victim, String) {
    let mut victim = Victim::of(server).await;
    let app = victim.app.clone();
    let (_, secret) = app.identity_secret().await;
    app.as_owner("phone", PHONE)
        .post("/v1/identify", &json!({ "token": token_of(&secret, "ann") }))
        .await
        .ok();
    // Who was let in by the id alone has gone.
    assert!(!std::mem::replace(&mut victim.device, app.owner("phone", PHONE).await).closed().await);
    victim.device.expect("conversation:joined").await;
    while victim.agent.expect("conversation:updated").await["conversation"]["is_verified"] != true {}
    assert_eq!(victim.agent.expect("activity:new").await["kind"], "identified");
    victim.before = state(&app, &victim.conversation).await;
    (victim, secret)
}

/// Whoever comes near, what they show over REST and on a socket, and what they are told: nothing at all, or that there is no
/// such conversation.
struct Stranger {
    name: &'static str,
    http: Http,
    auth: Value,
    told: Option<(u16, &'static str)>,
}

async fn identified(app: &TestApp, device: &str, secret: &str, body: Value) -> (Http, Value) {
    let http = app.as_owner(device, secret);
    http.post("/v1/identify", &body).await.ok();
    (http, app.owner_auth(device, secret))
}

async fn strangers(app: &TestApp, secret: &str) -> Vec<Stranger> {
    let mut strangers = Vec::new();
    let mut add = |name, (http, auth), told| strangers.push(Stranger { name, http, auth, told });
    let claimed = json!({ "user": { "id": "ann", "name": "Ann" } });
    add("the same person, claimed at another device", identified(app, "claims", OTHER, claimed).await, None);
    let bob = json!({ "token": token_of(secret, "bob") });
    add("another verified person", identified(app, "bobs", OTHER, bob).await, None);
    let nobody = (app.as_owner("nobodys", OTHER), app.owner_auth("nobodys", OTHER));
    add("nobody at another device", nobody, None);
    let ann = json!({ "token": token_of(secret, "ann") });
    let unbound = identified(app, "unbound", OTHER, ann).await;
    app.as_agent().post("/v1/admin/devices/unbound/unbind", &json!({})).await.ok();
    testkit::holds("it is unbound", || async { unbound.0.get("/v1/unread").await.status == 401 }).await;
    add("an unbound device of the person", unbound, Some((401, "IDENTITY_REQUIRED")));
    let (key, retired) = app.identity_secret().await;
    let ann = json!({ "token": token_of(&retired, "ann") });
    let bound = identified(app, "retired", OTHER, ann.clone()).await;
    app.command(&["identity", "retire", &key, "--end-bindings"]).await;
    testkit::holds("its key is retired", || async { bound.0.get("/v1/unread").await.status == 401 }).await;
    add("a device that a key proved which is retired", bound, Some((401, "IDENTITY_REQUIRED")));
    let late = (app.as_owner("late", OTHER), app.owner_auth("late", OTHER));
    assert_eq!(late.0.post("/v1/identify", &ann).await.failure(), (401, "INVALID_CREDENTIALS"));
    add("who shows a token of a retired key", late, None);
    let refused = Some((401, "INVALID_CREDENTIALS"));
    add("who knows the device's id", (app.as_device("phone"), app.device_auth("phone")), refused);
    let another = (app.as_owner("phone", OTHER), app.owner_auth("phone", OTHER));
    add("who has another secret", another, refused);
    strangers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_persons_conversation_is_nobodys_who_is_not_them() {
    let server = TestServer::start().await;
    let (mut victim, secret) = verified(&server).await;
    let app = victim.app.clone();
    for Stranger { name, http, auth, told } in strangers(&app, &secret).await {
        // Who they say they are is tried by tests of its own.
        for route in routes().iter().filter(|route| !route.is_agents() && !route.path.contains("identify")) {
            let by = format!("{} {} by {name}", route.method, route.path);
            let answer = route.ask(&http, &victim).await;
            match told {
                Some(told) => assert_eq!(answer.failure(), told, "{by}"),
                None if route.names_a_conversation() => {
                    assert_eq!(answer.failure(), (404, "CONVERSATION_NOT_FOUND"), "{by}");
                }
                None => assert_eq!(answer.status, 200, "{by}: {}", answer.text),
            }
            assert!(
                !answer.text.contains(&victim.conversation) && !tells(&answer.text, &victim),
                "{by}: {}",
                answer.text
            );
            victim.agent.settled("conversation:updated").await;
            victim.is_untouched(&by).await;
        }
        for wire in Wire::ALL {
            let by = format!("{name} in {wire:?}");
            let mut client = match Client::connect_by(wire, app.address, "/client", auth.clone()).await {
                Err(refusal) => {
                    assert_eq!(
                        (Some(401), Some(refusal.message.as_str())),
                        (told.map(|told| told.0), told.map(|told| told.1)),
                        "{by}"
                    );
                    assert!(!tells(&refusal.data.to_string(), &victim), "{by}");
                    continue;
                }
                Ok(client) => client,
            };
            for (event, payload) in client_events() {
                let by = format!("{event} by {by}");
                let answer = client.call(event, victim.fill(&payload)).await;
                assert_eq!(answer["success"], false, "{by}");
                if let Some((_, code)) = told {
                    // What was never joined can't be left, whoever is there.
                    let is_local = event == "conversation:leave";
                    assert!(answer["error"] == code || is_local, "{by}: {answer}");
                }
                victim.is_untouched(&by).await;
            }
            let message = json!({ "local_id": by, "body": "hush: for Ann" });
            let path = format!("/v1/admin/conversations/{}/messages", victim.conversation);
            app.as_agent().post(&path, &message).await.ok();
            for event in ["message:new", "conversation:updated"] {
                victim.agent.expect(event).await;
            }
            victim.device.expect("message:new").await;
            assert_eq!(client.settled("message:new").await, [] as [Value; 0], "{by}");
            assert!(!is_told(&client, &victim), "{by}: {:?}", client.untaken());
            victim.before = state(&app, &victim.conversation).await;
        }
    }
    // Of who may hear it, the same look says that they are told.
    for wire in Wire::ALL {
        let auth = app.owner_auth("phone", PHONE);
        let mut owner = Client::connect_by(wire, app.address, "/client", auth).await.unwrap();
        let joining = json!({ "conversation_id": victim.conversation, "after": "" });
        owner.done("conversation:join", joining).await;
        assert!(is_told(&owner, &victim), "in {wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_persons_other_device_sees_it_and_an_old_client_by_its_id_alone_does_not() {
    let server = TestServer::with(&["--legacy"]).await;
    let (victim, secret) = verified(&server).await;
    let app = victim.app.clone();
    let ann = json!({ "token": token_of(&secret, "ann") });
    let (http, auth) = identified(&app, "tablet", OTHER, ann).await;
    for route in routes().iter().filter(|route| !route.is_agents() && route.names_a_conversation()) {
        let answer = route.ask(&http, &victim).await;
        assert!(answer.status < 300, "{} {}: {}", route.method, route.path, answer.text);
    }
    let mut tablet = Client::connect(app.address, "/client", auth).await.unwrap();
    tablet.expect("conversation:joined").await;
    // The id is owned: who has nothing but that is not let in, whatever they speak.
    let old = OldPhone::start(&app, "phone");
    testkit::holds("the old phone is refused", || async { old.refused().contains(&401) }).await;
    assert_eq!(old.rest().get("/v1/conversations").await.status, 401);
    assert_eq!(old.frames(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_device_reads_what_is_its_own_and_says_nothing() {
    let server = TestServer::start().await;
    let (mut victim, _) = verified(&server).await;
    let app = victim.app.clone();
    app.as_agent().patch("/v1/admin/people/ann", &json!({ "blocked": true })).await.ok();
    assert!(std::mem::replace(&mut victim.device, app.device("other").await).closed().await);
    let phone = app.as_owner("phone", PHONE);
    testkit::holds("it is blocked", || async {
        phone.post("/v1/conversations", &json!({})).await.json["code"] == "BLOCKED"
    })
    .await;
    for route in routes().iter().filter(|route| !route.is_agents() && !route.path.contains("identify")) {
        let by = format!("{} {} by a blocked device", route.method, route.path);
        let answer = route.ask(&phone, &victim).await;
        let is_receipt = route.path.ends_with("/read") || route.path.ends_with("/delivered");
        if route.method == "GET" || is_receipt {
            assert_eq!(answer.status, 200, "{by}: {}", answer.text);
        } else {
            assert_eq!(answer.failure(), (403, "BLOCKED"), "{by}");
        }
    }
    let auth = app.owner_auth("phone", PHONE);
    assert_eq!(Client::connect(app.address, "/client", auth).await.err().unwrap().message, "BLOCKED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_opens_what_it_names_and_an_agent_who_has_gone_opens_nothing() {
    let server = TestServer::start().await;
    let mut victim = Victim::of(&server).await;
    let app = victim.app.clone();
    let come = |name: &'static str, role: &'static str| {
        let app = app.clone();
        async move {
            let email = format!("{name}@example.com");
            let flags =
                ["agent", "invite", "--app", &app.app_id, "--name", name, "--email", &email, "--role", role];
            let code = app.command(&flags).await["code"].clone();
            let given = json!({ "code": code, "password": "correct horse battery" });
            let signed_in = Http::new(app.address).post("/v1/auth/code", &given).await.ok();
            (
                signed_in["agent"]["id"].as_str().unwrap().to_owned(),
                signed_in["admin_token"].as_str().unwrap().to_owned(),
            )
        }
    };
    let may = |role: &str, permission: &str| match permission {
        "manage" => role == "admin",
        "send_messages" => role != "viewer",
        _ => true,
    };
    // Somebody has to stay.
    come("root", "admin").await;
    for (name, role) in [("vera", "viewer"), ("grace", "agent"), ("ada", "admin")] {
        let (id, token) = come(name, role).await;
        let http = app.as_agent_with(&token);
        let own = ["/v1/auth/sign-out", "/v1/admin/sign-ins", "/v1/admin/me"];
        for route in routes().iter().filter(|route| route.is_agents() && !own.contains(&route.path)) {
            let by = format!("{} {} by {role}", route.method, route.path);
            let needed = route.permission.unwrap();
            let is_allowed = needed
                .split_whitespace()
                .all(|either| either.split('|').any(|permission| may(role, permission)));
            let answer = route.ask(&http, &victim).await;
            if is_allowed {
                assert!(answer.status < 300 || answer.json["code"] == "NOT_FOUND", "{by}: {}", answer.text);
            } else {
                assert_eq!(answer.failure(), (403, "FORBIDDEN"), "{by}");
                assert!(!tells(&answer.text, &victim), "{by}: {}", answer.text);
            }
        }
        // The ways in which they go: their session ends, and they are disabled.
        let again = json!({ "email": format!("{name}@example.com"), "password": "correct horse battery" });
        let ended = Http::new(app.address).post("/v1/auth/sign-in", &again).await.ok();
        let ended = ended["admin_token"].as_str().unwrap().to_owned();
        app.as_agent_with(&ended).post("/v1/auth/sign-out", &json!({})).await.ok();
        app.as_agent().patch(&format!("/v1/admin/agents/{id}"), &json!({ "status": "disabled" })).await.ok();
        for (token, what) in [(&ended, "an ended session"), (&token, "a disabled agent")] {
            let http = app.as_agent_with(token);
            for route in routes().iter().filter(|route| route.is_agents()) {
                let by = format!("{} {} by {what}", route.method, route.path);
                let answer = route.ask(&http, &victim).await;
                assert_eq!(answer.failure(), (401, "INVALID_CREDENTIALS"), "{by}");
            }
            let auth = json!({ "app_id": app.app_id, "admin_token": token });
            for wire in Wire::ALL {
                let refusal = Client::connect_by(wire, app.address, "/admin", auth.clone()).await.err();
                assert_eq!(refusal.unwrap().message, "INVALID_CREDENTIALS", "{what} in {wire:?}");
            }
        }
        victim.before = state(&app, &victim.conversation).await;
    }
}
