//! What a team writes again and again: everybody who sees conversations has it, and who manages the app writes it.

use serde_json::{Value, json};
use testkit::TestServer;

use crate::agents::agent;

const PATH: &str = "/v1/admin/canned-replies";

fn shortcuts(page: &Value) -> Vec<&str> {
    page["canned_replies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reply| reply["shortcut"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canned_replies_are_written_by_admins_and_read_by_all_in_pages() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, admin) = agent(&app, "ada", "admin").await;
    let (_, plain) = agent(&app, "ben", "agent").await;
    let (ada, ben) = (app.as_agent_with(&admin), app.as_agent_with(&plain));
    let mut ids = Vec::new();
    for shortcut in ["Hours", "hello", "bye"] {
        let text = format!("{shortcut}: hi {{{{person.name|there}}}}, this is {{{{agent.name}}}}");
        let made = ada.post(PATH, &json!({ "shortcut": shortcut, "text": text })).await.ok();
        assert_eq!(made["canned_reply"]["text"], text);
        ids.push(made["canned_reply"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(shortcuts(&ben.get(PATH).await.ok()), ["bye", "hello", "hours"]);
    let page = ben.get(&format!("{PATH}?limit=2")).await.ok();
    assert_eq!((shortcuts(&page), &page["has_more"]), (vec!["bye", "hello"], &json!(true)));
    assert_eq!(shortcuts(&ben.get(&format!("{PATH}?limit=2&after=hello")).await.ok()), ["hours"]);

    let one = format!("{PATH}/{}", ids[1]);
    let changed = ada.patch(&one, &json!({ "shortcut": "hi" })).await.ok();
    assert_eq!(changed["canned_reply"]["shortcut"], "hi");
    for (wrong, code) in [
        (json!({ "shortcut": "BYE" }), "VALIDATION_ERROR"),
        (json!({ "shortcut": "two words" }), "VALIDATION_ERROR"),
        (json!({ "text": "Hi {{nobody}}" }), "VALIDATION_ERROR"),
        (json!({ "text": "" }), "MISSING_PARAMS"),
        (json!({}), "MISSING_PARAMS"),
    ] {
        assert_eq!(ada.patch(&one, &wrong).await.failure(), (400, code), "{wrong}");
    }
    let again = json!({ "shortcut": "bye", "text": "x" });
    assert_eq!(ada.post(PATH, &again).await.failure(), (400, "VALIDATION_ERROR"));
    for answer in [ben.post(PATH, &again).await, ben.patch(&one, &again).await, ben.delete(&one).await] {
        assert_eq!(answer.failure(), (403, "FORBIDDEN"));
    }
    // Another app's are not there.
    let other = server.app().await;
    let (_, foreign) = agent(&other, "eve", "admin").await;
    let eve = other.as_agent_with(&foreign);
    assert_eq!(eve.patch(&one, &json!({ "text": "x" })).await.failure(), (404, "NOT_FOUND"));
    assert_eq!(eve.delete(&one).await.failure(), (404, "NOT_FOUND"));
    assert!(shortcuts(&eve.get(PATH).await.ok()).is_empty());
    ada.delete(&one).await.ok();
    assert_eq!(ada.delete(&one).await.failure(), (404, "NOT_FOUND"));
    assert_eq!(shortcuts(&ben.get(PATH).await.ok()), ["bye", "hours"]);

    let audit = ada.get("/v1/admin/audit").await.ok();
    let acts: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|act| act["action"].as_str().filter(|action| action.starts_with("canned")))
        .collect();
    let (add, change, remove) = ("canned_reply.add", "canned_reply.change", "canned_reply.remove");
    assert_eq!(acts, [remove, change, add, add, add]);
}
