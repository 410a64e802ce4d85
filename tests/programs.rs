//! What a team gives programs by REST: tokens, and the app's key.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Http, TestApp, TestServer};

use crate::agents::agent;

/// What a withdrawn credential has open is closed within this.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

async fn actions(http: &Http, prefix: &str) -> Vec<String> {
    let audit = http.get("/v1/admin/audit").await.ok();
    let entries = audit["entries"].as_array().unwrap().iter();
    let names = entries.map(|entry| entry["action"].as_str().unwrap().to_owned());
    names.filter(|action| action.starts_with(prefix)).collect()
}

async fn admin(app: &TestApp) -> (String, Http) {
    let (id, token) = agent(app, "ada", "admin").await;
    (id, app.as_agent_with(&token))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_makes_a_token_for_a_program_and_takes_it_away() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, ada) = admin(&app).await;
    let wish = json!({ "name": "Bot", "permissions": ["view_conversations", "send_messages"], "expires_in_days": 30 });
    let made = ada.post("/v1/admin/tokens", &wish).await.ok();
    let (secret, token) = (made["admin_token"].as_str().unwrap(), &made["token"]);
    assert_eq!(token["permissions"], wish["permissions"]);
    assert!(token["expires_at"].is_string() && token.get("owner_id").is_none(), "{token}");
    // It does what it may, and nothing else; the list has it, and neither its secret nor anybody's session.
    let bot = app.as_agent_with(secret);
    assert_eq!(bot.get("/v1/admin/conversations").await.status, 200);
    assert_eq!(bot.get("/v1/admin/tokens").await.failure(), (403, "FORBIDDEN"));
    let list = ada.get("/v1/admin/tokens").await;
    assert!(!list.text.contains(secret), "{}", list.text);
    let names = |list: &Value| -> Vec<String> {
        list["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = names(&list.ok());
    assert!(listed.contains(&"Bot".to_owned()) && !listed.contains(&"ada".to_owned()), "{listed:?}");
    // What it has open is closed with it.
    let mut open = app.agent_with(secret).await.unwrap();
    let path = format!("/v1/admin/tokens/{}", token["id"].as_str().unwrap());
    ada.delete(&path).await.ok();
    let since = Instant::now();
    assert_eq!(bot.get("/v1/admin/conversations").await.status, 401, "at once");
    assert!(open.closed().await && since.elapsed() < CLOSED_WITHIN, "{:?}", since.elapsed());
    assert_eq!(bot.get("/v1/admin/conversations").await.status, 401);
    assert!(!names(&ada.get("/v1/admin/tokens").await.ok()).contains(&"Bot".to_owned()));

    // With an owner it may do no more than they, and acts as them.
    let (viewer, _) = agent(&app, "vic", "viewer").await;
    let owned = json!({ "name": "Vic's", "owner_id": viewer });
    let made = ada.post("/v1/admin/tokens", &owned).await.ok();
    assert_eq!(made["token"]["owner_id"], viewer.as_str());
    let may: Vec<_> = made["token"]["permissions"].as_array().unwrap().clone();
    assert!(may.contains(&json!("view_conversations")) && !may.contains(&json!("send_messages")), "{may:?}");
    assert_eq!(
        actions(&ada, "token.").await,
        ["token.create", "token.revoke", "token.create", "token.create"].map(str::to_owned)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hands_on_what_they_do_not_have_or_ends_what_is_not_theirs() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, ada) = admin(&app).await;
    let (_, manages) = app.token(&["manage"]).await;
    let manages = app.as_agent_with(&manages);
    let wish = |permissions: Value| json!({ "name": "Bot", "permissions": permissions });
    assert_eq!(
        manages.post("/v1/admin/tokens", &wish(json!(["view_conversations"]))).await.failure(),
        (403, "FORBIDDEN")
    );
    assert_eq!(
        manages.post("/v1/admin/tokens", &json!({ "name": "Bot" })).await.failure(),
        (403, "FORBIDDEN")
    );
    assert_eq!(manages.post("/v1/admin/tokens", &wish(json!(["manage"]))).await.status, 200);
    let (_, grace) = agent(&app, "grace", "agent").await;
    let other = server.app().await;
    let (theirs, _) = other.token(&["manage"]).await;
    let grace_session = app.as_agent_with(&grace).get("/v1/admin/sign-ins").await.ok();
    let session = grace_session["sign_ins"][0]["id"].as_str().unwrap_or("tok_none").to_owned();
    for id in [theirs.as_str(), session.as_str(), "tok_unknown", "x%00y"] {
        assert_eq!(ada.delete(&format!("/v1/admin/tokens/{id}")).await.failure(), (404, "NOT_FOUND"), "{id}");
    }
    assert_eq!(app.as_agent_with(&grace).get("/v1/admin/me").await.status, 200, "her session goes on");
    for (wrong, code) in [
        (json!({}), "MISSING_PARAMS"),
        (json!({ "name": "" }), "MISSING_PARAMS"),
        (json!({ "name": "x", "permissions": [] }), "VALIDATION_ERROR"),
        (json!({ "name": "x", "permissions": ["fly"] }), "VALIDATION_ERROR"),
        (json!({ "name": "x", "expires_in_days": 0 }), "VALIDATION_ERROR"),
        (json!({ "name": "x", "expires_in_days": -1 }), "VALIDATION_ERROR"),
        (json!({ "name": "x", "owner_id": "agt_nobody" }), "VALIDATION_ERROR"),
    ] {
        assert_eq!(ada.post("/v1/admin/tokens", &wrong).await.failure(), (400, code), "{wrong}");
    }
    // Who may not manage learns not even who is there.
    let owned = json!({ "name": "x", "owner_id": "agt_nobody" });
    assert_eq!(
        app.as_agent_with(&grace).post("/v1/admin/tokens", &owned).await.failure(),
        (403, "FORBIDDEN")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_apps_key_is_changed_with_and_without_a_while_for_the_old_one() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, ada) = admin(&app).await;
    let with_key = |key: &str| {
        let http = server.http().header("X-App-Id", &app.app_id).header("X-Device-Id", "phone");
        http.header("X-Api-Key", key)
    };
    let mut open = app.device("phone").await;
    let rotated = ada.post("/v1/admin/app/key", &json!({ "keep_old_for_days": 7 })).await.ok();
    let second = rotated["api_key"].as_str().unwrap().to_owned();
    assert!(rotated["old_key_until"].is_string());
    for key in [&app.api_key, &second] {
        assert_eq!(with_key(key).get("/v1/conversations").await.status, 200);
    }
    let shown = ada.get("/v1/admin/app").await.ok();
    assert_eq!(shown["app"]["old_key"]["until"], rotated["old_key_until"]);
    // Only one old one may be beside the present one.
    let again = ada.post("/v1/admin/app/key", &json!({ "keep_old_for_days": 7 })).await;
    assert_eq!(again.failure(), (400, "VALIDATION_ERROR"));
    ada.delete("/v1/admin/app/old-key").await.ok();
    let since = Instant::now();
    assert_eq!(with_key(&app.api_key).get("/v1/conversations").await.status, 401, "at once");
    assert!(open.closed().await && since.elapsed() < CLOSED_WITHIN, "{:?}", since.elapsed());
    assert_eq!(with_key(&app.api_key).get("/v1/conversations").await.status, 401);
    assert_eq!(ada.delete("/v1/admin/app/old-key").await.failure(), (404, "NOT_FOUND"));
    assert!(ada.get("/v1/admin/app").await.ok()["app"].get("old_key").is_none());
    let third = ada.post("/v1/admin/app/key", &json!({})).await.ok();
    assert_eq!(with_key(&second).get("/v1/conversations").await.status, 401);
    assert_eq!(with_key(third["api_key"].as_str().unwrap()).get("/v1/conversations").await.status, 200);
    let expected = ["app.rotate_key", "app.end_old_key", "app.rotate_key"];
    assert_eq!(actions(&ada, "app.").await[..3], expected.map(str::to_owned));
}
