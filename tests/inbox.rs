//! The agents' inbox: whom a conversation is with, who waits, and the views of it.

use serde_json::{Value, json};
use testkit::{Http, TestApp, TestServer};

use crate::agents::agent;

/// The ids of a view, in its order.
async fn view(http: &Http, query: &str) -> Vec<String> {
    let page = http.get(&format!("/v1/admin/conversations?{query}")).await.ok();
    page["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A conversation of a device that has written in it.
async fn written_in(app: &TestApp, device: &str) -> String {
    let id = app.conversation(device).await;
    let path = format!("/v1/conversations/{id}/messages");
    app.as_device(device).post(&path, &json!({ "local_id": "1", "body": "Hello" })).await.ok();
    id
}

async fn one(http: &Http, id: &str) -> Value {
    http.get(&format!("/v1/admin/conversations/{id}")).await.ok()["conversation"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_taken_given_and_released_and_everybody_hears_of_it() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (ada_id, ada_token) = agent(&app, "ada", "agent").await;
    let (ben_id, ben_token) = agent(&app, "ben", "agent").await;
    let (ada, ben) = (app.as_agent_with(&ada_token), app.as_agent_with(&ben_token));
    let id = written_in(&app, "phone").await;
    let path = format!("/v1/admin/conversations/{id}");
    let mut listens = app.agent_with(&ben_token).await.expect("an agent");
    let taken = json!({ "assignee_id": ada_id, "if_assignee_id": null });
    let answer = ada.patch(&path, &taken).await.ok();
    assert_eq!(answer["conversation"]["assignee_id"], ada_id.as_str());
    while listens.expect("conversation:updated").await["conversation"]["assignee_id"] != ada_id.as_str() {}

    // Who is late is told who has it, and changes nothing.
    let late = ben.patch(&path, &json!({ "assignee_id": ben_id, "if_assignee_id": null })).await;
    assert_eq!(late.failure(), (409, "ASSIGNEE_CHANGED"));
    assert!(late.text.contains(&ada_id) && late.text.contains("ada"), "{}", late.text);
    assert_eq!(one(&ben, &id).await["assignee_id"], ada_id.as_str());

    // It is given, with or without a look at who has it, and together with a status.
    let given = json!({ "assignee_id": ben_id, "if_assignee_id": ada_id, "status": "resolved" });
    let answer = ada.patch(&path, &given).await.ok();
    let row = &answer["conversation"];
    assert_eq!((&row["assignee_id"], &row["status"]), (&json!(ben_id), &json!("resolved")));
    let before = row["updated_at"].clone();
    let answer = ada.patch(&path, &json!({ "assignee_id": null })).await.ok();
    assert!(answer["conversation"]["assignee_id"].is_null());
    assert_eq!(answer["conversation"]["updated_at"], before, "that is no activity of the conversation's");
    while !listens.expect("conversation:updated").await["conversation"]["assignee_id"].is_null() {}

    // Who did what is on record, and what changed nothing is not.
    ada.patch(&path, &json!({ "assignee_id": null })).await.ok();
    let audit = app.as_agent().get("/v1/admin/audit").await.ok();
    let acts: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|act| act["target"] == id.as_str())
        .map(|act| (act["action"].as_str().unwrap(), act["actor"].as_str().unwrap()))
        .collect();
    let wanted =
        ["conversation.release", "conversation.resolve", "conversation.assign", "conversation.assign"];
    assert_eq!(acts, wanted.map(|action| (action, ada_id.as_str())));

    // The device is told nothing of any of it.
    let seen = app.as_device("phone").get("/v1/conversations").await;
    assert!(
        seen.status == 200 && !seen.text.contains("agt_") && !seen.text.contains("waiting"),
        "{}",
        seen.text
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_take_it_at_once_one_gets_it() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agents = Vec::new();
    for name in ["ada", "ben", "cy", "di"] {
        let (id, token) = agent(&app, name, "agent").await;
        agents.push((id, app.as_agent_with(&token)));
    }
    for round in 0..10 {
        let id = written_in(&app, &format!("phone-{round}")).await;
        let path = format!("/v1/admin/conversations/{id}");
        let taking = agents.iter().map(|(agent, http)| {
            let (path, http) = (path.clone(), http.clone());
            let taken = json!({ "assignee_id": agent, "if_assignee_id": null });
            tokio::spawn(async move { http.patch(&path, &taken).await })
        });
        let mut answers = Vec::new();
        for taken in taking.collect::<Vec<_>>() {
            answers.push(taken.await.unwrap());
        }
        let winners: Vec<_> =
            agents.iter().zip(&answers).filter(|(_, answer)| answer.status == 200).collect();
        let [((winner, _), _)] = winners[..] else { panic!("{} have it", winners.len()) };
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.failure(), (409, "ASSIGNEE_CHANGED"));
            assert!(answer.text.contains(winner), "{}", answer.text);
        }
        assert_eq!(one(&agents[0].1, &id).await["assignee_id"], winner.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_answer_can_have_a_conversation() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (viewer, viewer_token) = agent(&app, "vic", "viewer").await;
    let (gone, _) = agent(&app, "gil", "agent").await;
    app.command(&["agent", "disable", "--app", &app.app_id, "gil@example.com"]).await;
    let other = server.app().await;
    let (foreign, foreign_token) = agent(&other, "fay", "agent").await;
    let id = written_in(&app, "phone").await;
    let path = format!("/v1/admin/conversations/{id}");
    let owner = app.as_agent();
    for wrong in [viewer.as_str(), &gone, &foreign, "agt_nobody", "", "x\u{0}y"] {
        let answer = owner.patch(&path, &json!({ "assignee_id": wrong })).await;
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{wrong:?}");
    }
    for (wrong, code) in [
        (json!({}), "MISSING_PARAMS"),
        (json!({ "if_assignee_id": null }), "MISSING_PARAMS"),
        (json!({ "assignee_id": 7 }), "VALIDATION_ERROR"),
        (json!({ "assignee_id": null, "status": "gone" }), "VALIDATION_ERROR"),
    ] {
        assert_eq!(owner.patch(&path, &wrong).await.failure(), (400, code), "{wrong}");
    }
    let taken = json!({ "assignee_id": viewer });
    assert_eq!(app.as_agent_with(&viewer_token).patch(&path, &taken).await.failure(), (403, "FORBIDDEN"));
    let foreign_taking =
        other.as_agent_with(&foreign_token).patch(&path, &json!({ "assignee_id": foreign })).await;
    assert_eq!(foreign_taking.failure(), (404, "CONVERSATION_NOT_FOUND"));
    assert!(one(&owner, &id).await["assignee_id"].is_null());
    // A program that acts for nobody has nothing of its own.
    assert_eq!(owner.get("/v1/admin/conversations?view=mine").await.failure(), (403, "FORBIDDEN"));
    assert_eq!(owner.get("/v1/admin/conversations?view=theirs").await.failure(), (400, "VALIDATION_ERROR"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_views_have_what_they_say_in_their_order_page_by_page() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (ada_id, ada_token) = agent(&app, "ada", "agent").await;
    let ada = app.as_agent_with(&ada_token);
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(written_in(&app, &format!("phone-{number}")).await);
    }
    let [first, second, third, ..] = &ids[..] else { unreachable!("there are seven") };
    let change = async |id: &str, change: Value| {
        ada.patch(&format!("/v1/admin/conversations/{id}"), &change).await.ok();
    };
    let answer = async |id: &str| {
        let path = format!("/v1/admin/conversations/{id}/messages");
        ada.post(&path, &json!({ "local_id": "a", "body": "Hi" })).await.ok();
    };
    change(first, json!({ "assignee_id": ada_id })).await;
    change(second, json!({ "assignee_id": ada_id, "status": "resolved" })).await;
    answer(third).await;
    assert_eq!(view(&ada, "view=mine").await, std::slice::from_ref(first));
    assert_eq!(view(&ada, "view=mine&status=resolved").await, std::slice::from_ref(second));
    let mut unassigned: Vec<_> = ids[2..].to_vec();
    unassigned.reverse();
    // The answered one is the newest now.
    unassigned.retain(|id| id != third);
    unassigned.insert(0, third.clone());
    assert_eq!(view(&ada, "view=unassigned").await, unassigned);
    // Who has waited longest is first; the answered one and the resolved one are not among them.
    let waiting: Vec<_> = ids.iter().filter(|id| ![second, third].contains(id)).cloned().collect();
    assert_eq!(view(&ada, "view=waiting").await, waiting);
    assert_eq!(view(&ada, "view=all").await.len(), 7);
    assert_eq!(view(&ada, "view=all&status=open").await.len(), 6);

    // Reading and giving change nothing of the wait; an answer ends it, and the next question begins another.
    let before = one(&ada, first).await;
    assert!(before["waiting_since"].is_string() && before["first_reply_at"].is_null(), "{before}");
    change(first, json!({ "assignee_id": null })).await;
    let last = before["last_message"]["id"].clone();
    ada.post(&format!("/v1/admin/conversations/{first}/messages/read"), &json!({ "up_to_message_id": last }))
        .await;
    assert_eq!(one(&ada, first).await["waiting_since"], before["waiting_since"]);
    answer(first).await;
    let answered = one(&ada, first).await;
    assert!(answered["waiting_since"].is_null() && answered["first_reply_at"].is_string(), "{answered}");

    // Page by page it is the same.
    for query in ["view=waiting", "view=unassigned", "view=all", "view=all&status=open"] {
        let whole = view(&ada, query).await;
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let page = ada.get(&format!("/v1/admin/conversations?{query}&limit=2&after={after}")).await.ok();
            let rows = page["conversations"].as_array().unwrap();
            paged.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            after = next.to_owned();
        }
        assert_eq!(paged, whole, "{query}");
    }
}
