//! Agents as people: first run, invitations, passwords, sessions, roles, the last admin.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Http, TestApp, TestServer};

const PASSWORD: &str = "correct horse battery";

/// An agent who has been invited and has come: their id, and the token of their session.
pub(crate) async fn agent(app: &TestApp, name: &str, role: &str) -> (String, String) {
    let email = format!("{name}@example.com");
    let flags = ["--app", &app.app_id, "--name", name, "--email", &email, "--role", role];
    let invited = app.command(&[&["agent", "invite"], &flags[..]].concat()).await;
    let code = json!({ "code": invited["code"], "password": PASSWORD });
    let signed_in = Http::new(app.address).post("/v1/auth/code", &code).await.ok();
    (text(&signed_in["agent"]["id"]), text(&signed_in["admin_token"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn sign_in(app: &TestApp, email: &str, password: &str) -> testkit::Answer {
    let given = json!({ "email": email, "password": password });
    Http::new(app.address).post("/v1/auth/sign-in", &given).await
}

/// What a server prints before it is ready has this link.
fn code_in(greeting: &str) -> String {
    let (_, code) = greeting.split_once("/dashboard#code=").unwrap_or_else(|| panic!("no link: {greeting}"));
    code.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_prints_one_link_that_makes_the_first_app_and_its_admin() {
    let mut server = TestServer::start().await;
    let code = code_in(server.greeting());
    let http = server.http();
    let mut given = json!({ "code": code });
    for (field, value) in
        [("password", PASSWORD), ("app_name", "Shop"), ("name", "Ada"), ("email", "Ada@Example.com")]
    {
        assert_eq!(http.post("/v1/auth/code", &given).await.failure(), (400, "MISSING_PARAMS"), "{field}");
        given[field] = value.into();
    }
    given["password"] = "too short".into();
    assert_eq!(http.post("/v1/auth/code", &given).await.failure(), (400, "VALIDATION_ERROR"));
    given["password"] = PASSWORD.into();
    let made = http.post("/v1/auth/code", &given).await.ok();
    assert_eq!(made["agent"]["role"], "admin");
    assert_eq!(made["agent"]["status"], "active");
    assert_eq!(made["agent"]["email"], "ada@example.com");
    assert!(text(&made["agent"]["id"]).starts_with("agt_"));
    assert_eq!(http.post("/v1/auth/code", &given).await.failure(), (401, "INVALID_CREDENTIALS"), "good once");
    let admin = http.clone().header("Authorization", &format!("Bearer {}", text(&made["admin_token"])));
    let me = admin.get("/v1/admin/me").await.ok();
    assert_eq!(me["agent"]["name"], "Ada");
    assert_eq!(me["permissions"].as_array().unwrap().len(), 5);
    let app = admin.get("/v1/admin/app").await.ok();
    assert_eq!((&app["app"]["name"], &app["app"]["id"]), (&json!("Shop"), &made["app_id"]));
    // The key that it came with is good.
    let device = http
        .clone()
        .header("X-App-Id", &text(&made["app_id"]))
        .header("X-Device-Id", "phone")
        .header("X-Api-Key", &text(&made["api_key"]));
    device.post("/v1/conversations", &json!({})).await.ok();
    server.restart(&[]).await;
    assert!(!server.greeting().contains("#code="), "there is an app now: {}", server.greeting());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_invited_sets_a_password_and_signs_in_with_it() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let admin = app.as_agent();
    let invitation = json!({ "name": "Grace", "email": "grace@example.com", "role": "agent" });
    let first = admin.post("/v1/admin/agents", &invitation).await.ok();
    assert_eq!(first["agent"]["status"], "invited");
    let code = text(&first["code"]);
    assert_eq!(text(&first["link"]), format!("http://{}/dashboard#code={code}", app.address));
    // Invited anew: the same agent, and another link in the place of the first.
    let second = admin.post("/v1/admin/agents", &invitation).await.ok();
    assert_eq!(first["agent"]["id"], second["agent"]["id"]);
    let http = server.http();
    let use_code = |code: &Value, password: &str| {
        let given = json!({ "code": code, "password": password, "name": "Grace H." });
        let http = http.clone();
        async move { http.post("/v1/auth/code", &given).await }
    };
    assert_eq!(use_code(&first["code"], PASSWORD).await.failure(), (401, "INVALID_CREDENTIALS"));
    assert_eq!(use_code(&second["code"], "123456789").await.failure(), (400, "VALIDATION_ERROR"));
    let come = use_code(&second["code"], PASSWORD).await.ok();
    assert_eq!((&come["agent"]["name"], &come["agent"]["status"]), (&json!("Grace H."), &json!("active")));
    assert_eq!(come["app_id"], app.app_id.as_str());
    assert_eq!(admin.post("/v1/admin/agents", &invitation).await.failure(), (400, "VALIDATION_ERROR"));
    let signed_in = sign_in(&app, " Grace@Example.com", PASSWORD).await.ok();
    let grace = app.as_agent_with(&text(&signed_in["admin_token"]));
    // They answer under their name and id, over REST and sockets, and what they did stays theirs.
    let conversation = app.conversation("phone").await;
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let sent = grace.post(&path, &json!({ "local_id": "1", "body": "hello" })).await.ok();
    assert_eq!(sent["message"]["sender_name"], "Grace H.");
    assert_eq!(sent["message"]["sender_id"], come["agent"]["id"]);
    let mut socket = app.agent_with(&text(&signed_in["admin_token"])).await.unwrap();
    socket.done("conversation:join", json!({ "conversation_id": conversation })).await;
    let by_socket = json!({ "conversation_id": conversation, "local_id": "2", "body": "hello" });
    assert_eq!(socket.call("message:send", by_socket).await["message"]["sender_id"], come["agent"]["id"]);
    grace.patch("/v1/admin/me", &json!({ "name": "Grace Hopper", "availability": "away" })).await.ok();
    let id = text(&come["agent"]["id"]);
    let disabled =
        admin.patch(&format!("/v1/admin/agents/{id}"), &json!({ "status": "disabled" })).await.ok();
    assert_eq!(
        (&disabled["agent"]["status"], &disabled["agent"]["availability"]),
        (&json!("disabled"), &json!("away"))
    );
    let messages =
        app.as_device("phone").get(&format!("/v1/conversations/{conversation}/messages")).await.ok();
    assert_eq!(messages["messages"][0]["sender_name"], "Grace H.");
    assert_eq!(messages["messages"][0]["sender_id"], id.as_str());
    let acts = admin.get("/v1/admin/audit").await.ok();
    let acts: Vec<_> = acts["entries"].as_array().unwrap().iter().map(|act| text(&act["action"])).collect();
    assert_eq!(
        acts[..5],
        ["agent.disable", "agent.sign_in", "agent.use_code", "agent.invite", "agent.invite"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_say_what_may_be_done_and_a_change_reaches_open_connections() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (id, token) = agent(&app, "vera", "viewer").await;
    let conversation = app.conversation("phone").await;
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let vera = app.as_agent_with(&token);
    vera.get("/v1/admin/conversations").await.ok();
    let message = |n: &str| json!({ "local_id": n, "body": "x" });
    assert_eq!(vera.post(&path, &message("1")).await.failure(), (403, "FORBIDDEN"));
    let invitation = json!({ "name": "Eve", "email": "eve@example.com", "role": "admin" });
    assert_eq!(vera.post("/v1/admin/agents", &invitation).await.failure(), (403, "FORBIDDEN"));
    let mut open = app.agent_with(&token).await.unwrap();
    app.as_agent().patch(&format!("/v1/admin/agents/{id}"), &json!({ "role": "agent" })).await.ok();
    // It is let in again to what it may do now.
    let began = Instant::now();
    assert!(!open.closed().await, "stock clients come back by themselves");
    assert!(began.elapsed() < Duration::from_secs(5));
    vera.post(&path, &message("2")).await.ok();
    let mut open = app.agent_with(&token).await.unwrap();
    app.command(&["agent", "disable", "vera@example.com", "--app", &app.app_id]).await;
    let began = Instant::now();
    assert_eq!(open.expect("error").await["code"], "INVALID_CREDENTIALS");
    assert!(open.closed().await);
    assert!(began.elapsed() < Duration::from_secs(5));
    testkit::holds("the session is over", || async { vera.get("/v1/admin/me").await.status == 401 }).await;
    assert_eq!(sign_in(&app, "vera@example.com", PASSWORD).await.failure(), (401, "INVALID_CREDENTIALS"));
    app.command(&["agent", "enable", "vera@example.com", "--app", &app.app_id]).await;
    sign_in(&app, "vera@example.com", PASSWORD).await.ok();
    assert_eq!(vera.get("/v1/admin/me").await.status, 401, "their sessions have ended for good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_stays() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (ada, token) = agent(&app, "ada", "admin").await;
    let as_ada = app.as_agent_with(&token);
    let of = |id: &str| format!("/v1/admin/agents/{id}");
    // Who is only invited is nobody to rely on.
    let invitation = json!({ "name": "Later", "email": "later@example.com", "role": "admin" });
    as_ada.post("/v1/admin/agents", &invitation).await.ok();
    for change in [json!({ "status": "disabled" }), json!({ "role": "agent" })] {
        assert_eq!(as_ada.patch(&of(&ada), &change).await.failure(), (400, "VALIDATION_ERROR"), "{change}");
    }
    let (grace, other) = agent(&app, "grace", "admin").await;
    // Two who want to be the last one at once: one is.
    let (as_grace, down) = (app.as_agent_with(&other), json!({ "role": "agent" }));
    let (of_grace, of_ada) = (of(&grace), of(&ada));
    let (one, two) = tokio::join!(as_ada.patch(&of_grace, &down), as_grace.patch(&of_ada, &down));
    let mut both = [one.status, two.status];
    both.sort_unstable();
    assert_eq!(both[0], 200);
    assert_ne!(both[1], 200, "{} {}", one.text, two.text);
    let agents = app.as_agent().get("/v1/admin/agents").await.ok();
    let admins = agents["agents"].as_array().unwrap().iter();
    assert_eq!(admins.filter(|agent| agent["role"] == "admin" && agent["status"] == "active").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colleagues_know_each_other_by_name_and_who_manages_them_knows_the_rest() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (id, as_vera) = agent(&app, "vera", "viewer").await;
    agent(&app, "ada", "admin").await;
    let agents = app.as_agent_with(&as_vera).get("/v1/admin/agents").await.ok();
    let [ada, vera] = agents["agents"].as_array().unwrap().as_slice() else { panic!("{agents}") };
    assert_eq!(
        (&ada["role"], &ada["availability"], &ada["status"]),
        (&json!("admin"), &json!("online"), &json!("active"))
    );
    assert_eq!(vera["id"], id.as_str());
    for colleague in [ada, vera] {
        for hidden in ["email", "created_at", "last_seen_at"] {
            assert!(colleague.get(hidden).is_none(), "{colleague}");
        }
    }
    let agents = app.as_agent().get("/v1/admin/agents").await.ok();
    assert_eq!(agents["agents"][0]["email"], "ada@example.com");
    assert!(agents["agents"][0]["created_at"].is_string());
    // Who sees no conversations has nobody to give one to.
    let (_, token) = app.token_with(&["view_sessions"], &[]).await;
    assert_eq!(app.as_agent_with(&token).get("/v1/admin/agents").await.failure(), (403, "FORBIDDEN"));
    let (_, token) = app.token_with(&["manage"], &[]).await;
    app.as_agent_with(&token).get("/v1/admin/agents").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_and_ended_and_end_with_another_password() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (id, first) = agent(&app, "ada", "agent").await;
    let sign = |stay: bool| {
        let given = json!({ "email": "ada@example.com", "password": PASSWORD, "stay": stay });
        let http = Http::new(app.address).header("User-Agent", "Browser of a test");
        async move { text(&http.post("/v1/auth/sign-in", &given).await.ok()["admin_token"]) }
    };
    let (second, third) = (sign(false).await, sign(true).await);
    let as_third = app.as_agent_with(&third);
    let list = as_third.get("/v1/admin/sign-ins").await.ok();
    let list = list["sign_ins"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!((&list[0]["is_current"], &list[0]["user_agent"]), (&json!(true), &json!("Browser of a test")));
    let days = |row: &Value| {
        let at = |field: &str| text(&row[field])[..10].replace('-', "").parse::<i64>().unwrap();
        at("expires_at") - at("created_at")
    };
    assert!(days(&list[1]) <= 1 && days(&list[0]) > 1, "stayed signed in: {list:?}");
    as_third.delete(&format!("/v1/admin/sign-ins/{}", text(&list[1]["id"]))).await.ok();
    testkit::holds("it is over", || async {
        app.as_agent_with(&second).get("/v1/admin/me").await.status == 401
    })
    .await;
    app.as_agent_with(&first).get("/v1/admin/me").await.ok();
    as_third.delete("/v1/admin/sign-ins").await.ok();
    assert_eq!(app.as_agent_with(&first).get("/v1/admin/me").await.status, 401);
    as_third.get("/v1/admin/me").await.ok();
    // Another's are for who manages the app, and another app's nobody's.
    let (_, other) = agent(&app, "grace", "agent").await;
    let of_ada = format!("/v1/admin/sign-ins?agent_id={id}");
    assert_eq!(app.as_agent_with(&other).get(&of_ada).await.failure(), (403, "FORBIDDEN"));
    let path = format!("/v1/admin/sign-ins/{}", text(&list[0]["id"]));
    assert_eq!(app.as_agent_with(&other).delete(&path).await.failure(), (404, "NOT_FOUND"));
    assert_eq!(app.as_agent().get(&of_ada).await.ok()["sign_ins"].as_array().unwrap().len(), 1);
    assert_eq!(server.app().await.as_agent().get(&of_ada).await.failure(), (404, "NOT_FOUND"));
    // Another password, by oneself and by an operator's link.
    let fourth = sign(false).await;
    let wish = |current: &str| json!({ "password": "another good one", "current_password": current });
    as_third.patch("/v1/admin/me", &wish(PASSWORD)).await.ok();
    assert_eq!(app.as_agent_with(&fourth).get("/v1/admin/me").await.status, 401);
    as_third.get("/v1/admin/me").await.ok();
    let reset = app.command(&["agent", "reset", "ada@example.com", "--app", &app.app_id]).await;
    as_third.get("/v1/admin/me").await.ok();
    let given = json!({ "code": reset["code"], "password": PASSWORD });
    let fifth = text(&server.http().post("/v1/auth/code", &given).await.ok()["admin_token"]);
    testkit::holds("the others are over", || async { as_third.get("/v1/admin/me").await.status == 401 })
        .await;
    assert_eq!(sign_in(&app, "ada@example.com", "another good one").await.status, 401);
    app.as_agent_with(&fifth).post("/v1/auth/sign-out", &json!({})).await.ok();
    assert_eq!(app.as_agent_with(&fifth).get("/v1/admin/me").await.status, 401);
    assert_eq!(app.as_agent().post("/v1/auth/sign-out", &json!({})).await.failure(), (403, "FORBIDDEN"));
    assert_eq!(app.as_agent().get("/v1/admin/me").await.ok()["agent"], Value::Null);
    assert_eq!(
        app.as_agent().patch("/v1/admin/me", &json!({ "name": "x" })).await.failure(),
        (403, "FORBIDDEN")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_about_a_sign_in_is_not_told_and_has_the_next_wait() {
    let server = TestServer::start().await;
    let app = server.app().await;
    agent(&app, "ada", "agent").await;
    let invitation = [
        "agent",
        "invite",
        "--app",
        &app.app_id,
        "--name",
        "I",
        "--email",
        "i@example.com",
        "--role",
        "agent",
    ];
    app.command(&invitation).await;
    let mut told = Vec::new();
    for email in ["ada@example.com", "nobody@example.com", "i@example.com"] {
        let answer = sign_in(&app, email, "wrong password").await;
        assert_eq!(answer.failure(), (401, "INVALID_CREDENTIALS"));
        told.push(text(&answer.json["message"]));
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
    assert_eq!(sign_in(&app, "", "x").await.failure(), (400, "MISSING_PARAMS"));
    // Each as often as it costs nothing, and then they wait: whether there is such an account or not. All at once, for a
    // check takes its time, and what is over by then is no wait.
    for email in ["ada@example.com", "nobody@example.com"] {
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let app = app.clone();
            tries.spawn(async move { sign_in(&app, email, "wrong password").await });
        }
        let answers = tries.join_all().await;
        let (refused, checked): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
        // One was tried above.
        assert_eq!((checked.len(), refused.len()), (4, 4), "{email}");
        for answer in refused {
            assert_eq!(answer.failure(), (429, "RATE_LIMITED"));
            assert!(answer.json["retry_after_ms"].as_u64().unwrap() <= 1_001);
            assert!(answer.headers.contains_key("retry-after"));
        }
    }
    // Each wrong try is remembered with its address: a book of them is no address, and never gets as far.
    let book = format!("{}@example.com", "a".repeat(10_000));
    for _ in 0..8 {
        assert_eq!(sign_in(&app, &book, "wrong password").await.failure(), (400, "VALIDATION_ERROR"));
    }
    testkit::holds("a right one, once the wait is over", || async {
        sign_in(&app, "ada@example.com", PASSWORD).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_present_password_is_no_lost_session_and_counts_as_a_wrong_try() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, token) = agent(&app, "ada", "agent").await;
    let ada = app.as_agent_with(&token);
    let wish = |current: &str| json!({ "password": "another good one", "current_password": current });
    // All at once, as above.
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (ada, wish) = (ada.clone(), wish("wrong"));
        tries.spawn(async move { ada.patch("/v1/admin/me", &wish).await });
    }
    let answers = tries.join_all().await;
    let (refused, checked): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
    assert_eq!((checked.len(), refused.len()), (5, 3));
    for answer in checked {
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"));
        assert_eq!(answer.json["message"], "current_password is not the present password");
    }
    ada.get("/v1/admin/me").await.ok();
    // A right one, once the wait is over; and what was tried has not become the password.
    testkit::holds("the wait is over", || async {
        sign_in(&app, "ada@example.com", PASSWORD).await.status == 200
    })
    .await;
    ada.patch("/v1/admin/me", &wish(PASSWORD)).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_in_two_apps_signs_in_once_for_each() {
    let server = TestServer::start().await;
    let (shop, other) = (server.app().await, server.app().await);
    agent(&shop, "ada", "agent").await;
    agent(&other, "ada", "viewer").await;
    for (app, role) in [(&shop, "agent"), (&other, "viewer")] {
        let given = json!({ "email": "ada@example.com", "password": PASSWORD, "app_id": app.app_id });
        let signed_in = server.http().post("/v1/auth/sign-in", &given).await.ok();
        assert_eq!((&signed_in["app_id"], &signed_in["agent"]["role"]), (&json!(app.app_id), &json!(role)));
        let token = text(&signed_in["admin_token"]);
        app.agent_with(&token).await.unwrap();
        let foreign = if app.app_id == shop.app_id { &other } else { &shop };
        assert_eq!(foreign.agent_with(&token).await.err().unwrap().message, "INVALID_CREDENTIALS");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_programs_token_may_have_an_owner_and_may_do_no_more_than_they() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (id, _) = agent(&app, "ada", "viewer").await;
    let (_, token) =
        app.token_with(&["view_conversations", "send_messages"], &["--owner", "ada@example.com"]).await;
    let bot = app.as_agent_with(&token);
    let conversation = app.conversation("phone").await;
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let message = json!({ "local_id": "1", "body": "x" });
    assert_eq!(bot.post(&path, &message).await.failure(), (403, "FORBIDDEN"));
    app.as_agent().patch(&format!("/v1/admin/agents/{id}"), &json!({ "role": "agent" })).await.ok();
    assert_eq!(bot.post(&path, &message).await.ok()["message"]["sender_id"], id.as_str());
    assert_eq!(bot.get("/v1/admin/audit").await.failure(), (403, "FORBIDDEN"));
    app.as_agent().patch(&format!("/v1/admin/agents/{id}"), &json!({ "status": "disabled" })).await.ok();
    assert_eq!(bot.get("/v1/admin/conversations").await.failure(), (401, "INVALID_CREDENTIALS"));
    let unknown = ["token", "create", "--app", &app.app_id, "--name", "x", "--owner", "nobody@example.com"];
    assert!(app.try_command(&unknown).await.is_err());
}
