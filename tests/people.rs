//! Whose a conversation is: proven people, claims, bindings of devices, secrets, blocks.

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestServer, token_of};

/// Secrets of devices, each of another one.
const PHONE: &str = "phone-secret-of-32-characters-or-more";
const TABLET: &str = "tablet-secret-of-32-characters-or-more";

/// An app, and a secret by which its backend proves who its people are.
async fn with_secret(server: &TestServer) -> (TestApp, String) {
    let app = server.app().await;
    let (_, secret) = app.identity_secret().await;
    (app, secret)
}

fn person(id: &str) -> Value {
    json!({ "user": { "id": id, "name": id } })
}

fn ids(list: &Value) -> Vec<&str> {
    let list = list["conversations"].as_array().unwrap();
    list.iter().map(|conversation| conversation["id"].as_str().unwrap()).collect()
}

async fn said(http: &testkit::Http, conversation: &str, body: &str) -> Value {
    let path = format!("/v1/conversations/{conversation}/messages");
    http.post(&path, &json!({ "local_id": body, "body": body })).await.ok()["message"].clone()
}

/// The next time that the client is told why it has to go, and its end; by itself it comes back.
async fn has_to_go(mut client: Client, code: &str) {
    assert_eq!(client.expect("error").await["code"], code);
    assert!(!client.closed().await, "a stock client would not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proven_persons_devices_share_what_they_have_written_live() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let (phone, tablet) = (app.as_owner("phone", PHONE), app.as_owner("tablet", TABLET));
    // What nobody has written becomes the first person's, and with proof all their devices'.
    let conversation = phone.post("/v1/conversations", &json!({})).await.ok()["conversation"].clone();
    let conversation = conversation["id"].as_str().unwrap().to_owned();
    said(&phone, &conversation, "who am I").await;
    for device in [&phone, &tablet] {
        device.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    }
    assert_eq!(ids(&tablet.get("/v1/conversations").await.ok()), [conversation.as_str()]);
    let mut on_phone = app.owner("phone", PHONE).await;
    let mut on_tablet = app.owner("tablet", TABLET).await;
    for client in [&mut on_phone, &mut on_tablet] {
        assert_eq!(client.expect("conversation:joined").await["conversation_id"], conversation.as_str());
    }
    let sent = said(&tablet, &conversation, "from the tablet").await;
    assert_eq!(sent["sender_name"], "ANN");
    assert_eq!(on_phone.expect("message:new").await, sent);
    let sent = on_phone
        .call(
            "message:send",
            json!({ "conversation_id": conversation, "local_id": "x", "body": "from the phone" }),
        )
        .await["message"]
        .clone();
    on_tablet.expect("message:new").await;
    assert_eq!(on_tablet.expect("message:new").await, sent);
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    app.as_agent().post(&path, &json!({ "local_id": "a", "body": "hello Ann" })).await.ok();
    for device in [&phone, &tablet] {
        assert_eq!(device.get("/v1/unread").await.ok()["unread_count"], 1);
    }
    let answer = on_tablet.expect("message:new").await;
    let read = json!({ "conversation_id": conversation, "up_to_message_id": answer["id"] });
    on_tablet.done("message:read", read).await;
    assert_eq!(phone.get("/v1/unread").await.ok()["unread_count"], 0, "read is read, wherever");
    on_phone.expect("message:new").await;
    while on_phone.expect("message:status").await["status"] != "read" {}
    // One open conversation of a person, whichever device asks.
    assert_eq!(
        tablet.post("/v1/conversations", &json!({})).await.ok()["conversation"]["id"],
        conversation.as_str()
    );
    // And of another one the person's other devices are told, whichever opens it.
    app.as_agent()
        .patch(&format!("/v1/admin/conversations/{conversation}"), &json!({ "status": "resolved" }))
        .await
        .ok();
    let another = phone.post("/v1/conversations", &json!({})).await.ok()["conversation"]["id"].clone();
    assert_ne!(another, conversation.as_str());
    for client in [&mut on_phone, &mut on_tablet] {
        assert_eq!(client.expect("conversation:opened").await["conversation_id"], another);
    }
    on_tablet.done("typing:start", json!({ "conversation_id": conversation })).await;
    assert_eq!(on_phone.expect("user:typing").await["device_id"], "tablet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_claimed_without_proof_is_never_shared() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let (phone, tablet) = (app.as_owner("phone", PHONE), app.as_owner("tablet", TABLET));
    phone.post("/v1/identify", &person("ann")).await.ok();
    let claimed = phone.post("/v1/conversations", &json!({})).await.ok()["conversation"]["id"].clone();
    tablet.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    let proven = tablet.post("/v1/conversations", &json!({})).await.ok()["conversation"]["id"].clone();
    assert_ne!(claimed, proven);
    for (device, own, others) in [(&phone, &claimed, &proven), (&tablet, &proven, &claimed)] {
        assert_eq!(ids(&device.get("/v1/conversations").await.ok()), [own.as_str().unwrap()]);
        let path = format!("/v1/conversations/{}/messages", others.as_str().unwrap());
        assert_eq!(device.get(&path).await.failure(), (404, "CONVERSATION_NOT_FOUND"));
        let sent = device.post(&path, &json!({ "local_id": "1", "body": "x" })).await;
        assert_eq!(sent.failure(), (404, "CONVERSATION_NOT_FOUND"));
    }
    // Once proven there, they see both, and write where they are proven.
    phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    assert_eq!(ids(&phone.get("/v1/conversations").await.ok()).len(), 2);
    assert_eq!(phone.post("/v1/conversations", &json!({})).await.ok()["conversation"]["id"], proven);
    assert_eq!(ids(&tablet.get("/v1/conversations").await.ok()), [proven.as_str().unwrap()]);
    let mut connected = app.owner("laptop", &format!("laptop-{TABLET}")).await;
    let nobodys =
        app.as_owner("laptop", &format!("laptop-{TABLET}")).post("/v1/conversations", &json!({})).await.ok();
    app.as_owner("laptop", &format!("laptop-{TABLET}"))
        .post("/v1/identify", &json!({ "token": token_of(&secret, "ann") }))
        .await
        .ok();
    assert_eq!(
        connected.expect("conversation:opened").await["conversation_id"],
        nobodys["conversation"]["id"]
    );
    // An app's word for somebody who is proven already is no news; for somebody else it is.
    phone.post("/v1/identify", &person("ann")).await.ok();
    assert_eq!(ids(&phone.get("/v1/conversations").await.ok()).len(), 3);
    phone.post("/v1/identify", &person("bob")).await.ok();
    phone.post("/v1/identify", &person("ann")).await.ok();
    assert_eq!(ids(&phone.get("/v1/conversations").await.ok()), [claimed.as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_identifies_on_a_socket_stays_connected_and_sees_what_is_theirs() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let mut one = app.owner("phone", PHONE).await;
    let other = app.owner("phone", PHONE).await;
    one.done("identify", person("ann")).await;
    let opened = app.as_owner("phone", PHONE).post("/v1/conversations", &json!({})).await.ok();
    let anns = opened["conversation"]["id"].as_str().unwrap().to_owned();
    one.done("conversation:join", json!({ "conversation_id": anns })).await;
    one.expect("conversation:joined").await;
    one.done("identify", json!({ "token": token_of(&secret, "bob") })).await;
    has_to_go(other, "IDENTITY_CHANGED").await;
    let path = format!("/v1/admin/conversations/{anns}/messages");
    app.as_agent().post(&path, &json!({ "local_id": "a", "body": "for Ann" })).await.ok();
    assert_eq!(one.settled("message:new").await, [] as [Value; 0]);
    let opened = app.as_owner("phone", PHONE).post("/v1/conversations", &json!({})).await.ok();
    let bobs = opened["conversation"]["id"].as_str().unwrap().to_owned();
    one.done("identify", json!({ "user": null })).await;
    one.done("identify", json!({ "token": token_of(&secret, "bob") })).await;
    assert_eq!(one.expect("conversation:joined").await["conversation_id"], bobs.as_str());
    let refused = one.call("identify", json!({})).await;
    assert_eq!(refused["error"], "MISSING_PARAMS");
    let refused = one.call("identify", json!({ "token": "x", "user": null })).await;
    assert_eq!(refused["error"], "VALIDATION_ERROR");
    let refused = one.call("identify", json!({ "token": "x" })).await;
    assert_eq!(refused["error"], "INVALID_CREDENTIALS");
    // And with the connection itself.
    let mut auth = app.owner_auth("phone", PHONE);
    auth["user_token"] = token_of(&secret, "bob").into();
    let mut again = Client::connect(app.address, "/client", auth.clone()).await.unwrap();
    assert_eq!(again.expect("conversation:joined").await["conversation_id"], bobs.as_str());
    auth["user_token"] = token_of("another secret", "ann").into();
    let refused = Client::connect(app.address, "/client", auth).await.err().unwrap();
    assert_eq!(refused.message, "INVALID_CREDENTIALS");
    one.settled("error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_hears_of_its_persons_conversations_whenever_it_came_and_whatever_it_said_itself() {
    let server = TestServer::without_limits().await;
    let (app, secret) = with_secret(&server).await;
    let laptop = app.as_owner("laptop", TABLET);
    laptop.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    let open = async || {
        let opened = laptop.post("/v1/conversations", &json!({})).await.ok()["conversation"]["id"].clone();
        let path = format!("/v1/admin/conversations/{}", opened.as_str().unwrap());
        app.as_agent().patch(&path, &json!({ "status": "resolved" })).await.ok();
        opened
    };
    // The proof comes on another way while connections are being let in, a little later each time.
    for round in 0..20 {
        let device = format!("phone-{round}");
        let phone = app.as_owner(&device, PHONE);
        phone.get("/v1/unread").await.ok();
        let mut coming = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (app, device) = (app.clone(), device.clone());
            coming.spawn(async move { app.owner(&device, PHONE).await });
        }
        tokio::time::sleep(std::time::Duration::from_micros(round * 250)).await;
        phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
        let mut clients = coming.join_all().await;
        // What one says of itself proves nothing, and takes nothing back.
        let refused = clients[0].call("identify", json!({ "token": "x" })).await;
        assert_eq!(refused["error"], "INVALID_CREDENTIALS");
        let opened = open().await;
        for client in &mut clients {
            let heard = client.expect("conversation:opened").await;
            assert_eq!(heard["conversation_id"], opened, "in round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_may_want_proof_and_people_without_a_name_may_still_write() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    app.command(&["app", "set", &app.app_id, "--identity", "verified"]).await;
    let phone = app.as_owner("phone", PHONE);
    let conversation = app.as_owner("phone", PHONE).post("/v1/conversations", &json!({})).await.ok();
    said(&phone, conversation["conversation"]["id"].as_str().unwrap(), "hello").await;
    for (path, body) in [("/v1/identify", person("ann")), ("/v1/conversations", person("ann"))] {
        assert_eq!(phone.post(path, &body).await.failure(), (403, "VERIFICATION_REQUIRED"), "{path}");
    }
    phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    phone.post("/v1/identify", &json!({ "user": null })).await.ok();
    assert_eq!(ids(&phone.get("/v1/conversations").await.ok()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shows_the_first_secret_owns_the_device() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let stranger = app.device("phone").await;
    let conversation = app.conversation("phone").await;
    let owner = app.owner("phone", PHONE).await;
    has_to_go(stranger, "INVALID_CREDENTIALS").await;
    for (http, what) in
        [(app.as_device("phone"), "no secret"), (app.as_owner("phone", TABLET), "another's secret")]
    {
        let path = format!("/v1/conversations/{conversation}/messages");
        assert_eq!(http.get("/v1/conversations").await.failure(), (401, "INVALID_CREDENTIALS"), "{what}");
        let sent = http.post(&path, &json!({ "local_id": "1", "body": "x" })).await;
        assert_eq!(sent.failure(), (401, "INVALID_CREDENTIALS"), "{what}");
    }
    let refused = app.try_device("phone").await.err().unwrap();
    assert_eq!(refused.message, "INVALID_CREDENTIALS");
    assert_eq!(
        ids(&app.as_owner("phone", PHONE).get("/v1/conversations").await.ok()),
        [conversation.as_str()]
    );
    for bad in ["x".repeat(31), "x".repeat(129), format!("{PHONE} with spaces"), format!("{PHONE}é")] {
        let answer =
            app.as_owner("new", &format!("UTF-8''{}", bad.replace(' ', "%20"))).get("/v1/unread").await;
        assert_eq!(answer.failure(), (401, "VALIDATION_ERROR"), "{bad}");
        assert!(!answer.text.contains("secret-of"), "a secret is not repeated: {}", answer.text);
    }
    // An operator lets it be claimed anew.
    app.command(&["device", "reset", "phone", "--app", &app.app_id]).await;
    has_to_go(owner, "INVALID_CREDENTIALS").await;
    let again = app.as_owner("phone", TABLET);
    testkit::holds("the new owner is let in", || async {
        again.get("/v1/conversations").await.status == 200
    })
    .await;
    assert_eq!(app.as_owner("phone", PHONE).get("/v1/unread").await.status, 401);
    let acts = app.as_agent().get("/v1/admin/audit").await.ok();
    assert_eq!(acts["entries"][0]["action"], "device.reset");
    // Clients that have none go on, unless the app says otherwise.
    app.as_device("old").get("/v1/conversations").await.ok();
    app.command(&["app", "set", &app.app_id, "--require-device-secret", "true"]).await;
    testkit::holds("a secret is needed", || async {
        app.as_device("old").get("/v1/conversations").await.status == 401
    })
    .await;
    assert_eq!(app.try_device("old").await.err().unwrap().message, "MISSING_PARAMS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_first_contacts_at_once_one_wins_and_the_other_is_told() {
    let server = TestServer::start().await;
    let app = server.app().await;
    for round in 0..20 {
        let device = format!("phone-{round}");
        let by = |secret: &'static str| {
            let http = app.as_owner(&device, secret);
            async move { http.get("/v1/conversations").await.status }
        };
        let (one, other) = tokio::join!(by(PHONE), by(TABLET));
        let mut both = [one, other];
        both.sort_unstable();
        assert_eq!(both, [200, 401]);
        let (winner, loser) = if one == 200 { (PHONE, TABLET) } else { (TABLET, PHONE) };
        assert_eq!((by(winner).await, by(loser).await), (200, 401));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_ends_by_the_operator_and_with_its_key_and_the_device_is_asked_who_is_there() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (key, secret) = app.identity_secret().await;
    let phone = app.as_owner("phone", PHONE);
    let prove = || async { phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await };
    prove().await.ok();
    let opened = phone.post("/v1/conversations", &json!({})).await.ok();
    let conversation = opened["conversation"]["id"].as_str().unwrap().to_owned();
    for way in ["unbind", "retire"] {
        let mut before = app.owner("phone", PHONE).await;
        assert_eq!(before.expect("conversation:joined").await["conversation_id"], conversation.as_str());
        match way {
            "unbind" => {
                app.as_agent().post("/v1/admin/devices/phone/unbind", &json!({})).await.ok();
            }
            _ => {
                app.command(&["identity", "retire", &key, "--end-bindings"]).await;
            }
        }
        has_to_go(before, "IDENTITY_REQUIRED").await;
        testkit::holds("the device is asked", || async {
            phone.get("/v1/conversations").await.json["code"] == "IDENTITY_REQUIRED"
        })
        .await;
        for path in ["/v1/conversations", "/v1/unread", &format!("/v1/conversations/{conversation}/messages")]
        {
            assert_eq!(phone.get(path).await.failure(), (401, "IDENTITY_REQUIRED"), "{way} {path}");
        }
        let mut unbound = app.owner("phone", PHONE).await;
        assert_eq!(unbound.expect("error").await["code"], "IDENTITY_REQUIRED");
        let refused = unbound.call("conversation:join", json!({ "conversation_id": conversation })).await;
        assert_eq!(refused["error"], "IDENTITY_REQUIRED");
        let sending = json!({ "conversation_id": conversation, "local_id": "n", "body": "n" });
        assert_eq!(unbound.call("message:send", sending).await["error"], "IDENTITY_REQUIRED");
        if way == "unbind" {
            unbound.done("identify", json!({ "token": token_of(&secret, "ann") })).await;
            assert_eq!(unbound.expect("conversation:joined").await["conversation_id"], conversation.as_str());
            phone.get("/v1/conversations").await.ok();
        }
    }
    assert_eq!(prove().await.failure(), (401, "INVALID_CREDENTIALS"), "the key is retired");
    // Nobody may still write, once it is said that there is nobody.
    phone.post("/v1/identify", &json!({ "user": null })).await.ok();
    assert_eq!(ids(&phone.get("/v1/conversations").await.ok()), [] as [&str; 0]);
    let keys = app.as_agent().get("/v1/admin/app/identity-keys").await.ok();
    assert!(keys["keys"][0]["retired_at"].is_string() && keys["keys"][0]["secret"].is_null());
    let acts = app.as_agent().get("/v1/admin/audit").await.ok();
    let unbound = acts["entries"].as_array().unwrap().iter().find(|act| act["action"] == "device.unbind");
    let unbound = unbound.expect("an act that is remembered");
    assert_eq!((&unbound["target"], &unbound["details"]), (&json!("phone"), &Value::Null));
}

/// What clients take for final must not be said to a device that only has to say who is there. A command knows of no node, so
/// that its connection does not hear of it for up to two seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_binding_has_just_ended_is_not_told_that_its_conversation_is_nowhere() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let phone = app.as_owner("phone", PHONE);
    phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    let opened = phone.post("/v1/conversations", &json!({})).await.ok();
    let conversation = opened["conversation"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{conversation}/messages");
    let message =
        phone.post(&path, &json!({ "local_id": "m", "body": "m" })).await.ok()["message"]["id"].clone();
    let mut refused = 0;
    for round in 0..3 {
        let mut client = app.owner("phone", PHONE).await;
        client.expect("conversation:joined").await;
        app.command(&["device", "unbind", "--app", &app.app_id, "phone"]).await;
        let named = json!({ "conversation_id": conversation });
        let sending =
            json!({ "conversation_id": conversation, "local_id": format!("n{round}"), "body": "n" });
        let receipt = json!({ "conversation_id": conversation, "up_to_message_id": message });
        let mut asked = Vec::new();
        for (event, payload) in
            [("message:send", sending), ("conversation:join", named), ("message:read", receipt)]
        {
            asked.push((event, client.ask(event, payload).await));
        }
        for (event, id) in asked {
            // It may have been closed by now.
            let Some(answer) = client.try_ack(id).await else { break };
            assert_eq!(answer["error"], "IDENTITY_REQUIRED", "{event}");
            refused += 1;
        }
        assert_eq!(phone.get(&path).await.failure(), (401, "IDENTITY_REQUIRED"));
        phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    }
    assert!(refused > 0, "no connection was open any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_without_a_secret_is_bound_as_long_as_its_token_is_good() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // Believed for a minute more than it says; it binds for as long as it says.
    let token = testkit::identity_token(&secret, &json!({ "sub": "ann", "exp": now - 30 }));
    let (stock, owned) = (app.as_device("stock"), app.as_owner("phone", PHONE));
    for device in [&stock, &owned] {
        device.post("/v1/identify", &json!({ "token": token })).await.ok();
    }
    testkit::holds("the binding has ended", || async {
        stock.get("/v1/conversations").await.json["code"] == "IDENTITY_REQUIRED"
    })
    .await;
    owned.get("/v1/conversations").await.ok();
    // An expired token harms nobody who is bound, and binds nobody.
    let expired = testkit::identity_token(&secret, &json!({ "sub": "ann", "exp": now - 600 }));
    owned.post("/v1/identify", &json!({ "token": expired })).await.ok();
    assert_eq!(
        stock.post("/v1/identify", &json!({ "token": expired })).await.failure(),
        (401, "INVALID_CREDENTIALS")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_blocked_says_nothing_more_until_they_are_not() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let agent = app.as_agent();
    let phone = app.as_owner("phone", PHONE);
    phone.post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await.ok();
    let opened = phone.post("/v1/conversations", &json!({})).await.ok();
    let conversation = opened["conversation"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{conversation}/messages");
    for whom in ["/v1/admin/devices/phone", "/v1/admin/people/ann"] {
        let mut connected = app.owner("phone", PHONE).await;
        connected.expect("conversation:joined").await;
        assert_eq!(agent.patch(whom, &json!({ "blocked": true })).await.ok()["blocked"], true);
        assert_eq!(connected.expect("error").await["code"], "BLOCKED");
        assert!(connected.closed().await, "a stock client would come back, again and again");
        testkit::holds("the device is blocked", || async {
            phone.post(&path, &json!({ "local_id": whom, "body": "x" })).await.json["code"] == "BLOCKED"
        })
        .await;
        let auth = app.owner_auth("phone", PHONE);
        assert_eq!(Client::connect(app.address, "/client", auth).await.err().unwrap().message, "BLOCKED");
        assert_eq!(phone.post("/v1/conversations", &json!({})).await.failure(), (403, "BLOCKED"));
        assert_eq!(phone.post("/v1/conversations", &person("ann")).await.failure(), (403, "BLOCKED"));
        phone.get(&path).await.ok();
        let card = agent.get(&format!("/v1/admin/conversations/{conversation}/person")).await.ok();
        let is_device = whom.contains("devices");
        assert_eq!(
            (&card["devices"][0]["is_blocked"], &card["person"]["is_blocked"]),
            (&is_device.into(), &(!is_device).into())
        );
        agent.patch(whom, &json!({ "blocked": false })).await.ok();
        testkit::holds("the device is blocked no longer", || async {
            phone.post(&path, &json!({ "local_id": whom, "body": "x" })).await.status == 201
        })
        .await;
    }
    assert_eq!(
        agent.patch("/v1/admin/devices/unknown", &json!({ "blocked": true })).await.failure(),
        (404, "NOT_FOUND")
    );
    assert_eq!(
        agent.patch("/v1/admin/people/unknown", &json!({ "blocked": true })).await.failure(),
        (404, "NOT_FOUND")
    );
    let acts = agent.get("/v1/admin/audit").await.ok();
    let acts: Vec<_> = acts["entries"].as_array().unwrap().iter().map(|act| act["action"].clone()).collect();
    assert_eq!(acts[..4], ["person.unblock", "person.block", "device.unblock", "device.block"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_see_who_writes() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let phone = app.as_owner("phone", PHONE);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({ "sub": "ann", "exp": now + 600, "name": "Ann", "email": "ann@example.com",
        "attributes": { "plan": "gold" } });
    phone.post("/v1/identify", &json!({ "token": testkit::identity_token(&secret, &claims) })).await.ok();
    app.as_owner("tablet", TABLET)
        .post("/v1/identify", &json!({ "token": token_of(&secret, "ann") }))
        .await
        .ok();
    phone.post("/v1/device-context", &json!({ "device_context": { "os": "Android" } })).await.ok();
    let mut opened = Vec::new();
    for _ in 0..2 {
        let answer = phone.post("/v1/conversations", &json!({})).await.ok();
        let id = answer["conversation"]["id"].as_str().unwrap().to_owned();
        said(&phone, &id, "hello").await;
        app.as_agent()
            .patch(&format!("/v1/admin/conversations/{id}"), &json!({ "status": "resolved" }))
            .await
            .ok();
        opened.push(id);
    }
    let connected = app.owner("tablet", TABLET).await;
    let card = app.as_agent().get(&format!("/v1/admin/conversations/{}/person", opened[1])).await.ok();
    // The tablet's token had another name, and nothing else.
    assert_eq!(
        card["person"],
        json!({ "id": "ann", "name": "ANN", "email": "ann@example.com", "attributes": { "plan": "gold" },
            "is_verified": true, "is_blocked": false })
    );
    assert_eq!(card["devices"][0]["device_id"], "phone");
    assert_eq!(card["devices"][0]["device_context"]["os"], "Android");
    assert_eq!(card["devices"][0]["is_online"], false);
    assert_eq!(card["devices"][1]["device_id"], "tablet");
    assert_eq!(card["devices"][1]["is_online"], true);
    assert_eq!(ids(&card), [opened[0].as_str()]);
    drop(connected);
    testkit::holds("the tablet's last contact is known", || async {
        let card = app.as_agent().get(&format!("/v1/admin/conversations/{}/person", opened[1])).await.ok();
        card["devices"][1]["last_seen_at"].is_string()
    })
    .await;
    let inbox = app.as_agent().get("/v1/admin/conversations").await.ok();
    assert_eq!(
        (&inbox["conversations"][0]["user_name"], &inbox["conversations"][0]["is_verified"]),
        (&json!("ANN"), &json!(true))
    );
    // Nobody has no name, and a claim is told as one.
    let nobodys = app.conversation("laptop").await;
    let card = app.as_agent().get(&format!("/v1/admin/conversations/{nobodys}/person")).await.ok();
    assert_eq!((&card["person"], &card["devices"][0]["device_id"]), (&Value::Null, &json!("laptop")));
    app.as_device("laptop").post("/v1/identify", &person("ann")).await.ok();
    let card = app.as_agent().get(&format!("/v1/admin/conversations/{nobodys}/person")).await.ok();
    assert_eq!(
        card["person"],
        json!({ "id": "ann", "name": "ann", "is_verified": false, "is_blocked": false })
    );
    assert_eq!(card["conversations"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_may_be_live_and_each_is_the_apps_own() {
    let server = TestServer::start().await;
    let (app, secret) = with_secret(&server).await;
    let (other, others) = with_secret(&server).await;
    let phone = app.as_owner("phone", PHONE);
    let foreign = phone.post("/v1/identify", &json!({ "token": token_of(&others, "ann") })).await;
    assert_eq!(foreign.failure(), (401, "INVALID_CREDENTIALS"));
    let added = app.as_agent().post("/v1/admin/app/identity-keys", &json!({})).await.ok();
    for secret in [&secret, added["secret"].as_str().unwrap()] {
        phone.post("/v1/identify", &json!({ "token": token_of(secret, "ann") })).await.ok();
    }
    let third = app.as_agent().post("/v1/admin/app/identity-keys", &json!({})).await;
    assert_eq!(third.failure(), (400, "VALIDATION_ERROR"));
    let path = format!("/v1/admin/app/identity-keys/{}", added["id"].as_str().unwrap());
    assert_eq!(other.as_agent().delete(&path).await.failure(), (404, "NOT_FOUND"));
    app.as_agent().delete(&path).await.ok();
    phone.get("/v1/conversations").await.ok();
    let refused = app.as_agent().post("/v1/admin/app/identity-keys", &json!({ "public_key": "x" })).await;
    assert_eq!(refused.failure(), (400, "VALIDATION_ERROR"));
}
