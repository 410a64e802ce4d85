//! The search of the agents: what is sent is found soon, by whoever may, whatever happens to the server in between.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use testkit::{Backend, Http, ServerProcess, TestApp, TestCluster, TestServer, eventually, holds};

use crate::BINARY;
use crate::agents::agent;

/// What was sent is found within this time.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

fn path_of(words: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let words: String = words.bytes().map(encoded).collect();
    format!("/v1/admin/search?q={words}")
}

async fn search(http: &Http, words: &str) -> Value {
    http.get(&path_of(words)).await.ok()
}

/// The snippets' texts.
fn texts(page: &Value) -> Vec<String> {
    page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["snippet"]["text"].as_str().unwrap().to_owned())
        .collect()
}

/// What of the snippets matched.
fn marked(page: &Value) -> Vec<String> {
    let of = |result: &Value| {
        let chars: Vec<char> = result["snippet"]["text"].as_str().unwrap().chars().collect();
        let ranges = result["snippet"]["ranges"].as_array().unwrap().clone();
        ranges
            .into_iter()
            .map(|range| {
                let at = |key: &str| usize::try_from(range[key].as_u64().unwrap()).unwrap();
                chars[at("start")..at("end")].iter().collect::<String>()
            })
            .collect::<Vec<_>>()
    };
    page["results"].as_array().unwrap().iter().flat_map(of).collect()
}

async fn say(app: &TestApp, device: &str, conversation: &str, local_id: &str, body: &str) -> Value {
    let path = format!("/v1/conversations/{conversation}/messages");
    app.as_device(device).post(&path, &json!({ "local_id": local_id, "body": body })).await.ok()["message"]
        .clone()
}

async fn note(http: &Http, conversation: &str, local_id: &str, body: &str) -> Value {
    let path = format!("/v1/admin/conversations/{conversation}/notes");
    http.post(&path, &json!({ "local_id": local_id, "body": body })).await.ok()["activity"].clone()
}

/// Waits until the search has so many results for the words.
async fn found(http: &Http, words: &str, count: usize) -> Value {
    eventually(&format!("{count} results for {words}"), || async {
        let page = search(http, words).await;
        (page["results"].as_array().unwrap().len() == count).then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_found_within_two_seconds_with_where_it_is() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let http = app.as_agent();
    let person =
        json!({ "user": { "id": "u-77", "name": "Ann Chrager", "email": "ann.chrager@example.com" } });
    let opened = app.as_device("phone").post("/v1/conversations", &person).await.ok();
    let id = opened["conversation"]["id"].as_str().unwrap().to_owned();
    found(&http, "chrager", 1).await;
    for n in 0..3 {
        let message =
            say(&app, "phone", &id, &n.to_string(), &format!("Où est ma commande n° {n} ? 我想退款")).await;
        let began = Instant::now();
        let page = found(&http, &format!("COMMANDE {n}"), 1).await;
        assert!(began.elapsed() < FOUND_WITHIN, "{:?}", began.elapsed());
        assert!(page["is_complete"] == true && page["has_more"] == false && page["next_cursor"].is_null());
        let result = &page["results"][0];
        assert_eq!((&result["kind"], &result["conversation"]["id"]), (&json!("message"), &json!(id)));
        for key in ["id", "seq", "sender", "sender_name", "created_at"] {
            assert_eq!(result["message"][key], message[key], "{key}");
        }
        assert_eq!(result["conversation"]["last_message"]["id"], message["id"]);
        assert_eq!(result["conversation"]["is_online"], false);
        assert_eq!(marked(&page), ["commande".to_owned(), n.to_string()]);
    }
    for words in ["ou", "OÙ", "comm", "退款", "款", "ou 退"] {
        assert_eq!(search(&http, words).await["results"].as_array().unwrap().len(), 3, "{words}");
    }
    for words in ["ann", "chrager@example.com", "example", "u-77", "ann.chrager@example.com"] {
        let page = search(&http, words).await;
        assert_eq!(texts(&page), ["Ann Chrager · ann.chrager@example.com · u-77 · phone"], "{words}");
        let result = &page["results"][0];
        assert!(result["kind"] == "person" && result["message"].is_null() && !marked(&page).is_empty());
    }

    // Another name is found as soon, and the one before no more.
    let other = json!({ "user": { "id": "u-77", "name": "Ann Lee", "email": "lee@example.org" } });
    app.as_device("phone").post("/v1/identify", &other).await.ok();
    let began = Instant::now();
    found(&http, "lee@example.org", 1).await;
    assert!(began.elapsed() < FOUND_WITHIN, "{:?}", began.elapsed());
    assert_eq!(texts(&search(&http, "chrager").await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_is_found_within_two_seconds_by_who_may_read_notes_and_by_nobody_else() {
    let server = TestServer::without_limits().await;
    let (app, other) = (server.app().await, server.app().await);
    let (_, token) = agent(&app, "ada", "agent").await;
    let (_, viewer) = agent(&app, "vic", "viewer").await;
    let ada = app.as_agent_with(&token);
    let (mut device, id) = app.device_in_conversation("phone").await;
    say(&app, "phone", &id, "1", "is there a discount?").await;
    let mut notes = Vec::new();
    for n in 0..3 {
        let written = note(&ada, &id, &n.to_string(), &format!("a Rébate of {n} hushpercent, 折扣")).await;
        let began = Instant::now();
        let page = found(&ada, &format!("REBATE {n}"), 1).await;
        assert!(began.elapsed() < FOUND_WITHIN, "{:?}", began.elapsed());
        let result = &page["results"][0];
        assert_eq!((&result["kind"], &result["conversation"]["id"]), (&json!("note"), &json!(id)));
        for key in ["n", "by", "at"] {
            assert_eq!(result["note"][key], written[key], "{key}");
        }
        assert_eq!(result["note"]["by"]["name"], "ada");
        assert!(result["message"].is_null());
        assert_eq!(result["conversation"]["last_message"]["body"], "is there a discount?");
        assert_eq!(marked(&page), ["Rébate".to_owned(), n.to_string()]);
        notes.push(written);
    }
    // Newest first, with the messages, and of the conversations that are asked for.
    say(&app, "phone", &id, "2", "a rebate, then?").await;
    let page = found(&ada, "rebate", 4).await;
    let kinds: Vec<_> = page["results"].as_array().unwrap().iter().map(|result| &result["kind"]).collect();
    assert_eq!(kinds, ["message", "note", "note", "note"]);
    assert_eq!(page["results"][1]["note"]["n"], notes[2]["n"]);
    let filtered = async |filter: &str| {
        let page = ada.get(&format!("{}{filter}", path_of("hushpercent"))).await.ok();
        page["results"].as_array().unwrap().len()
    };
    assert_eq!((filtered("&status=open").await, filtered("&status=resolved").await), (3, 0));
    assert_eq!(filtered("&assignee_id=agt_nobody").await, 0);
    // The number leads to it.
    let n = notes[1]["n"].as_u64().unwrap();
    let path = format!("/v1/admin/conversations/{id}/activity?after={}&limit=1", n - 1);
    assert_eq!(ada.get(&path).await.ok()["activity"][0], notes[1]);
    // Whoever reads conversations reads notes; nobody else does, and no device.
    assert_eq!(texts(&search(&app.as_agent_with(&viewer), "hushpercent").await).len(), 3);
    let (_, blind) = app.token(&["send_messages", "view_sessions", "view_presence", "manage"]).await;
    for (who, http, status) in [
        ("an agent who may not read", app.as_agent_with(&blind), 403),
        ("the device", app.as_device("phone"), 401),
        ("another app's device", other.as_device("phone"), 401),
    ] {
        let answer = http.get(&path_of("hushpercent")).await;
        assert_eq!(answer.status, status, "{who}");
        assert!(!answer.text.contains("hushpercent"), "{who}: {}", answer.text);
    }
    assert_eq!(texts(&search(&other.as_agent(), "hushpercent").await), Vec::<String>::new());
    let messages = format!("/v1/conversations/{id}/messages?q=hushpercent");
    for path in ["/v1/conversations?q=hushpercent", &messages, "/v1/unread", "/v1/search?q=hushpercent"] {
        let answer = app.as_device("phone").get(path).await;
        assert!(!answer.text.contains("percent,"), "{path}: {}", answer.text);
    }
    device.settled("message:new").await;
    assert!(!device.untaken().iter().any(|event| event.contains("activity")), "{:?}", device.untaken());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_is_written_at_one_node_is_found_at_another() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let [one, two] = [0, 1].map(|node| cluster.at(&app, node));
    let id = one.conversation("phone").await;
    found(&two.as_agent(), "phone", 1).await;
    for (n, (here, there)) in [(&one, &two), (&two, &one), (&one, &two)].into_iter().enumerate() {
        let word = format!("rebate{n}");
        note(&here.as_agent(), &id, &word, &word).await;
        let began = Instant::now();
        let page = found(&there.as_agent(), &word, 1).await;
        assert!(began.elapsed() < FOUND_WITHIN, "{:?}", began.elapsed());
        assert_eq!(page["results"][0]["note"]["n"], n + 1);
        assert_eq!(search(&here.as_agent(), &word).await["results"], page["results"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_one_another_and_may_be_of_some_conversations_only() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let http = app.as_agent();
    let mut sent = Vec::new();
    for device in 0..4 {
        let name = format!("phone-{device}");
        let id = app.conversation(&name).await;
        for n in 0..4 {
            sent.push(say(&app, &name, &id, &n.to_string(), &format!("refund {device} {n}")).await);
        }
        if device % 2 == 0 {
            let path = format!("/v1/admin/conversations/{id}");
            http.patch(&path, &json!({ "status": "resolved" })).await.ok();
        }
    }
    found(&http, "refund", 16).await;
    let all = async |filter: &str| {
        let (mut ids, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = http.get(&format!("{}&limit=3&after={after}{filter}", path_of("refund"))).await.ok();
            let results = page["results"].as_array().unwrap();
            assert!(results.len() <= 3);
            ids.extend(results.iter().map(|result| result["message"]["id"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            assert_eq!(page["has_more"], true);
            after = next.to_owned();
        }
        (ids, pages)
    };
    let (ids, pages) = all("").await;
    let newest_first: Vec<_> =
        sent.iter().rev().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, newest_first);
    assert_eq!(pages, 6);
    assert_eq!(all("&status=open").await.0.len(), 8);
    assert_eq!(all("&status=resolved").await.0.len(), 8);
    assert_eq!(all("&assignee_id=agt_nobody").await.0.len(), 0);
    assert_eq!(all("&status=&assignee_id=").await.0.len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_has_a_clear_answer() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let http = app.as_agent();
    let (device, id) = app.device_in_conversation("phone").await;
    drop(device);
    say(&app, "phone", &id, "1", "it's \"quoted\" a:b NEAR x").await;
    found(&http, "quoted", 1).await;
    let long = "x".repeat(10_000);
    let many = (0..40).map(|n| format!("w{n}x")).collect::<Vec<_>>().join(" ");
    for words in [
        "\"",
        "*",
        "'",
        "NEAR",
        "NEAR(",
        "a:b",
        "quoted NOT x",
        "quoted AND",
        "OR",
        "{quoted}",
        "^quoted",
        "-quoted",
        "+ +",
        "&|!()<->",
        "a & !b",
        "':*",
        "\\",
        "\0",
        "quoted\0x",
        "\u{1F600}",
        "\u{202E}quoted\u{202C}",
        "\u{200F}",
        "",
        "   ",
        "%",
        "_",
        "; DROP TABLE messages",
        "$1",
        "quoted*",
        "\u{FFFF}",
        "＃",
        "ﷺ",
        "@",
        "a@b@c",
        "x@",
        "\u{301}",
        "ก็",
        "ㄱ",
        &long,
        &many,
        &"退".repeat(300),
    ] {
        let answer = http.get(&path_of(words)).await;
        match answer.status {
            200 => assert!(answer.json["results"].is_array(), "{words:?}"),
            _ => assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{words:?}: {}", answer.text),
        }
    }
    for words in [long.as_str(), many.as_str()] {
        assert_eq!(http.get(&path_of(words)).await.failure(), (400, "VALIDATION_ERROR"));
    }
    for (path, code) in [
        ("/v1/admin/search", "MISSING_PARAMS"),
        ("/v1/admin/search?q=x&after=y", "VALIDATION_ERROR"),
        ("/v1/admin/search?q=x&limit=0", "VALIDATION_ERROR"),
        ("/v1/admin/search?q=x&status=closed", "VALIDATION_ERROR"),
        ("/v1/admin/search?q=%FF", "VALIDATION_ERROR"),
    ] {
        let answer = http.get(path).await;
        assert!(
            answer.status == 400 || (answer.status == 200 && path.ends_with("FF")),
            "{path}: {}",
            answer.text
        );
        if answer.status == 400 {
            assert_eq!(answer.failure(), (400, code), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_searches_another_app_and_no_device_searches() {
    let server = TestServer::start().await;
    let (mine, other) = (server.app().await, server.app().await);
    for app in [&mine, &other] {
        let id = app.conversation("phone").await;
        say(app, "phone", &id, "1", "secret of mine").await;
    }
    for app in [&mine, &other] {
        let page = found(&app.as_agent(), "secret", 1).await;
        assert_eq!(page["results"][0]["conversation"]["app_id"], app.app_id.as_str());
    }
    assert_eq!(mine.as_device("phone").get(&path_of("secret")).await.status, 401);
    let (_, blind) = mine.token(&["send_messages", "view_sessions", "view_presence", "manage"]).await;
    let refused = mine.as_agent_with(&blind).get(&path_of("secret")).await;
    assert_eq!(refused.failure(), (403, "FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_between_commit_and_index_finds_everything_afterwards() {
    const FLAGS: [&str; 2] = ["--rate-limit-device=0", "--rate-limit-agent=0"];
    let backend = Backend::fresh().await;
    let mut kept: Option<(TestApp, String)> = None;
    let mut sent = 0;
    for round in 0..4 {
        let server = ServerProcess::start(BINARY, &backend, &FLAGS).await;
        let (mut app, id) = match kept.take() {
            Some(kept) => kept,
            None => {
                let app = server.app().await;
                let id = app.conversation("phone").await;
                (app, id)
            }
        };
        app.address = server.address();
        for n in 0..40 {
            say(&app, "phone", &id, &format!("{round}-{n}"), &format!("refund number{sent}")).await;
            sent += 1;
        }
        note(&app.as_agent(), &id, &round.to_string(), &format!("rebate number{round}")).await;
        // Another conversation, of which nothing but the person is to be found.
        let person = json!({ "user": { "id": format!("person{round}") } });
        app.as_device(&format!("device{round}")).post("/v1/conversations", &person).await.ok();
        server.kill().await;
        kept = Some((app, id));
    }
    let server = ServerProcess::start(BINARY, &backend, &FLAGS).await;
    let (mut app, _) = kept.unwrap();
    app.address = server.address();
    let http = app.as_agent();
    let path = format!("{}&limit=200", path_of("refund"));
    eventually("all that was sent", || async {
        (http.get(&path).await.ok()["results"].as_array().unwrap().len() == sent).then_some(())
    })
    .await;
    for n in 0..sent {
        // By the whole word; others begin with it.
        let path = format!("{}&limit=200", path_of(&format!("number{n}")));
        let texts = texts(&http.get(&path).await.ok());
        assert_eq!(texts.iter().filter(|text| **text == format!("refund number{n}")).count(), 1, "{n}");
    }
    for round in 0..4 {
        found(&http, &format!("person{round}"), 1).await;
    }
    let notes = found(&http, "rebate", 4).await;
    let numbers: Vec<_> = notes["results"].as_array().unwrap().iter().map(|one| &one["note"]["n"]).collect();
    assert_eq!(numbers, [4, 3, 2, 1]);
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_made_anew_beside_the_running_server_and_a_backup_has_it() {
    let server = TestServer::without_limits().await;
    let (app, other) = (server.app().await, server.app().await);
    let http = app.as_agent();
    for app in [&app, &other] {
        let id = app.conversation("phone").await;
        for n in 0..30 {
            say(app, "phone", &id, &n.to_string(), "refund").await;
        }
        note(&app.as_agent(), &id, "1", "no refund").await;
        found(&app.as_agent(), "refund", 31).await;
    }
    for arguments in [vec!["search", "rebuild", "--app", &app.app_id], vec!["search", "rebuild"]] {
        assert_eq!(app.command(&arguments).await["asked"], true);
        eventually("all of it", || async {
            (search(&http, "refund").await["is_complete"] == true).then_some(())
        })
        .await;
        for app in [&app, &other] {
            let page = found(&app.as_agent(), "refund", 31).await;
            assert_eq!(page["results"][0]["kind"], "note");
        }
    }
    assert!(app.try_command(&["search", "rebuild", "--app", "app_unknown"]).await.is_err());
    let metrics = server.http().get("/metrics").await.text;
    assert_eq!(metric(&metrics, "replyhq_search_is_indexing"), 1.0);
    assert_eq!(metric(&metrics, "replyhq_search_is_complete"), 1.0);
    assert!(metric(&metrics, "replyhq_search_indexed_total") >= 2.0 * 32.0 + 32.0 + 2.0 * 32.0);
    holds("nothing waits", || async {
        let metrics = server.http().get("/metrics").await.text;
        metric(&metrics, "replyhq_search_behind_documents") == 0.0
            && metric(&metrics, "replyhq_search_behind_seconds") == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_database_is_searched_as_the_database_was() {
    let server = TestServer::on(Backend::sqlite(), &[]).await;
    let app = server.app().await;
    let id = app.conversation("phone").await;
    say(&app, "phone", &id, "1", "a refund").await;
    found(&app.as_agent(), "refund", 1).await;
    // Not indexed when the copy is made, or just so.
    say(&app, "phone", &id, "2", "another refund").await;
    note(&app.as_agent(), &id, "1", "a rebate").await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("replyhq.db");
    app.command(&["backup", "--output", copy.to_str().unwrap()]).await;
    let mut restored = app.clone();
    let server = TestServer::on(Backend::in_folder(folder.path()), &[]).await;
    restored.address = server.address();
    let page = found(&restored.as_agent(), "refund", 2).await;
    assert_eq!(texts(&page), ["another refund", "a refund"]);
    let path = format!("/v1/admin/conversations/{id}/messages");
    restored
        .as_agent()
        .send(Method::POST, &path, json!({ "local_id": "3", "body": "third refund" }).to_string().into())
        .await
        .ok();
    found(&restored.as_agent(), "refund", 3).await;
    found(&restored.as_agent(), "rebate", 1).await;
    note(&restored.as_agent(), &id, "2", "another rebate").await;
    found(&restored.as_agent(), "rebate", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_node_dies_that_makes_the_index_another_one_does() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let indexing = async |node: usize| {
        let metrics = Http::new(cluster.nodes[node].address()).get("/metrics").await.text;
        metric(&metrics, "replyhq_search_is_indexing") == 1.0
    };
    let first = eventually("one that makes it", || async {
        match (indexing(0).await, indexing(1).await) {
            (true, false) => Some(0),
            (false, true) => Some(1),
            _ => None,
        }
    })
    .await;
    let other = 1 - first;
    let there = cluster.at(&app, other);
    let id = there.conversation("phone").await;
    say(&there, "phone", &id, "1", "refund before").await;
    found(&cluster.at(&app, first).as_agent(), "refund", 1).await;
    say(&there, "phone", &id, "2", "refund in between").await;
    let dead = cluster.nodes.remove(first);
    dead.kill().await;
    say(&there, "phone", &id, "3", "refund after").await;
    let began = Instant::now();
    let page = found(&there.as_agent(), "refund", 3).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(texts(&page), ["refund after", "refund in between", "refund before"]);
}
