//! Running it: settings, commands, logs, metrics, signals. What an operator sees.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use protocol::limits::{Action, By, RATES, Rate};
use serde_json::{Value, json};
use testkit::{Backend, ServerProcess, TestServer, eventually, patiently};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::BINARY;

/// Runs the binary with nothing of this process's environment but these variables.
async fn run(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let child = Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output();
    patiently("the command", child).await.unwrap()
}

/// One case: the environment, the arguments, and what the outcome must show.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str);

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("replyhq.toml"), "data-dir = \"from-file\"\n").unwrap();
    let file = ["--config", "replyhq.toml", "app", "list"];
    let ours = ("REPLYHQ_DATA_DIR", "from-environment");
    let cases: [Case<'_>; 4] = [
        (&[], &["app", "list"], "replyhq-data"),
        (&[], &file, "from-file"),
        (&[ours], &file, "from-environment"),
        (&[ours], &["--config", "replyhq.toml", "app", "list", "--data-dir", "from-flag"], "from-flag"),
    ];
    for (environment, arguments, expected) in cases {
        let output = run(folder.path(), environment, arguments).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let made = folder.path().join(expected);
        assert!(made.join("replyhq.db").exists(), "{expected} was not used");
        std::fs::remove_dir_all(made).unwrap();
    }
    // Another name for the same thing is taken where ours is not set.
    let other = ("DATABASE_URL", "sqlite:from-other-name.db");
    assert!(run(folder.path(), &[other], &["app", "list"]).await.status.success());
    assert!(folder.path().join("from-other-name.db").exists());
    let own = ("REPLYHQ_DATABASE_URL", "sqlite:from-own-name.db");
    assert!(run(folder.path(), &[other, own], &["app", "list"]).await.status.success());
    assert!(folder.path().join("from-own-name.db").exists());
}

#[tokio::test]
async fn a_wrong_value_is_one_clear_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("unknown.toml", "no_such_setting = 1"),
        ("type.toml", "listen = [1]"),
        ("value.toml", "ping_interval = \"soon\""),
        ("broken.toml", "listen = "),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let both = ["serve", "--listen", "127.0.0.1:4567", "--internal-listen", "127.0.0.1:4567"];
    let cases: [Case<'_>; 21] = [
        // Each alone would do.
        (&[], &["serve", "--max-queue-bytes", "65536"], "524288"),
        (&[], &["serve", "--answer-timeout", "10s"], "--write-timeout"),
        (&[], &["serve", "--answer-timeout", "1s", "--write-timeout", "2s"], "--write-timeout"),
        (&[], &["serve", "--ping-timeout", "1ms"], "--ping-timeout"),
        (&[], &both, "--internal-listen"),
        (&[], &["serve", "--listen", "nonsense"], "--listen"),
        (&[], &["serve", "--ping-interval", "0s"], "--ping-interval"),
        (&[], &["serve", "--rate-limit-device", "-1"], "-1"),
        (&[], &["serve", "--no-such-flag"], "--no-such-flag"),
        (&[], &["serve", "--database-url", "postgres://me:geheim@localhost:notaport/x"], "--database-url"),
        (&[], &["serve", "--database-url", "mysql://localhost/x"], "sqlite:PATH"),
        (&[], &["serve", "--redis-url", "http://:geheim@localhost:6379"], "redis://"),
        (&[], &["serve", "--redis-url", "redis://:ge heim@local'host/geheim?x=geheim"], "--redis-url"),
        (&[], &["serve", "--redis-url", "redis+sentinel://one?sentinel_password=geheim"], "MASTER"),
        (&[], &["serve", "--redis-url", "redis://localhost"], "--database-url"),
        (&[("REPLYHQ_PING_TIMEOUT", "never")], &["serve"], "--ping-timeout"),
        (&[("PORT", "http")], &["serve"], "--listen"),
        (&[], &["--config", "unknown.toml", "serve"], "no_such_setting"),
        (&[], &["--config", "type.toml", "serve"], "listen"),
        (&[], &["--config", "value.toml", "serve"], "--ping-interval"),
        (&[], &["--config", "broken.toml", "serve"], "broken.toml"),
    ];
    for (environment, arguments, mention) in cases {
        let output = run(folder.path(), environment, arguments).await;
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{arguments:?}: {complaint}");
        assert!(!complaint.contains("geheim"), "a password is told: {complaint}");
        assert!(
            complaint.starts_with("error: ") && complaint.contains(mention),
            "{arguments:?}: {complaint}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn help_names_every_setting_and_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &[], &["serve", "--help"]).await;
    assert!(output.status.success());
    let help = text(&output.stdout);
    for setting in ["listen", "data-dir", "database-url", "log-format", "rate-limit-device", "ping-interval"]
    {
        assert!(help.contains(&format!("--{setting}")), "{help}");
        assert!(help.contains(&format!("REPLYHQ_{}", setting.to_uppercase().replace('-', "_"))), "{help}");
    }
}

#[tokio::test]
async fn commands_work_beside_a_server_and_print_one_json_object() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (id, token) = app.token_with(&["view_sessions"], &["--expires-in", "90d"]).await;
    assert!(app.api_key.starts_with("rhq_key_") && token.starts_with("rhq_adm_"));

    app.as_agent_with(&token).get("/v1/admin/sessions").await.ok();
    let tokens = app.command(&["token", "list", "--app", &app.app_id]).await;
    let row = tokens["tokens"].as_array().unwrap().iter().find(|row| row["id"] == id.as_str()).unwrap();
    assert_eq!(row["name"], "Ada");
    assert_eq!(row["permissions"], json!(["view_sessions"]));
    assert!(
        row["created_at"].is_string() && row["expires_at"].is_string() && row["last_used_at"].is_string()
    );
    assert_eq!(row["revoked_at"], Value::Null);
    assert!(!tokens.to_string().contains("rhq_adm_"), "a secret is shown once");
    app.command(&["token", "revoke", &id]).await;
    let tokens = app.command(&["token", "list", "--app", &app.app_id]).await;
    let row = tokens["tokens"].as_array().unwrap().iter().find(|row| row["id"] == id.as_str()).unwrap();
    assert!(row["revoked_at"].is_string());

    let old_key = app.api_key.clone();
    let rotated = app.command(&["app", "rotate-key", &app.app_id]).await;
    assert_ne!(rotated["api_key"], old_key.as_str());
    assert_eq!(app.as_device("phone").get("/v1/conversations").await.failure(), (401, "INVALID_CREDENTIALS"));
    let app = testkit::TestApp { api_key: rotated["api_key"].as_str().unwrap().into(), ..app };
    app.as_device("phone").get("/v1/conversations").await.ok();

    let apps = app.command(&["app", "list"]).await;
    assert_eq!(apps["apps"][0]["app_id"], app.app_id.as_str());
    assert!(!apps.to_string().contains("rhq_key_"));

    // All of it is in the audit log, newest first, by the command and by the route, and nothing of it is a secret.
    let by_command = app.command(&["audit", "--app", &app.app_id]).await;
    let actions: Vec<_> = by_command["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["app.rotate_key", "token.revoke", "token.create", "token.create", "app.create"]);
    let by_route = app.as_agent().get("/v1/admin/audit").await.ok();
    assert_eq!(by_route["entries"], by_command["entries"]);
    assert_eq!(by_route["entries"][1]["target"], id.as_str());
    assert_eq!(by_route["entries"][1]["actor"], "cli");
    assert!(!by_route.to_string().contains("rhq_"));
}

#[tokio::test]
async fn a_command_for_what_is_not_there_fails_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["token", "create", "--app", "app_none", "--name", "Ada"][..],
        &["token", "list", "--app", "app_none"],
        &["token", "revoke", "tok_none"],
        &["app", "rotate-key", "app_none"],
        &["app", "create", ""],
    ] {
        let output = run(folder.path(), &[], arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
    let output =
        run(folder.path(), &[], &["token", "create", "--app", "a", "--name", "n", "--permission", "all"])
            .await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("view_sessions"));
}

#[tokio::test]
async fn the_metrics_tell_what_happened() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    // A node among many hears of presence where somebody watches.
    let _watches = app.agent().await;
    let mut device = app.device("phone").await;
    let message = json!({ "conversation_id": conversation, "local_id": "1", "body": "x" });
    device.done("message:send", message.clone()).await;
    device.done("message:send", message.clone()).await;
    let other = json!({ "conversation_id": conversation, "local_id": "1", "body": "y" });
    device.refused("message:send", other).await;
    for number in 2..30 {
        let message =
            json!({ "conversation_id": conversation, "local_id": format!("{number}"), "body": "x" });
        device.call("message:send", message).await;
    }
    // Presence is told when all nodes know of it.
    let metrics = eventually("a presence change", || async {
        let metrics = server.http().get("/metrics").await.text;
        metrics.contains("replyhq_presence_changes_total{state=\"online\"} 1\n").then_some(metrics)
    })
    .await;
    for line in [
        "replyhq_connections{namespace=\"/client\"} 1",
        "replyhq_messages_total{result=\"duplicate\"} 1",
        "replyhq_messages_total{result=\"LOCAL_ID_CONFLICT\"} 1",
        "replyhq_ack_seconds_count{transport=\"socket\"} 31",
        "replyhq_slow_readers_dropped_total 0",
        "replyhq_outgoing_queue_bytes 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    for name in [
        "replyhq_fan_out_seconds_count",
        "replyhq_commit_writes_count",
        "replyhq_rate_limited_total{action=\"send\"}",
    ] {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 0.0, "{line}");
    }
    device.close().await;
    eventually("a gauge at zero", || async {
        let metrics = server.http().get("/metrics").await.text;
        metrics.contains("replyhq_connections{namespace=\"/client\"} 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_log_has_neither_secrets_nor_bodies_and_names_requests() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(BINARY)
        .args(["serve", "--listen=127.0.0.1:0", "--log-format=json", "--log-level=trace", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut text = String::new();
        log.read_to_string(&mut text).await.unwrap();
        text
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = patiently("the ready line", lines.next_line()).await.unwrap().unwrap();
    let address = ready.strip_prefix("replyhq is ready on http://").unwrap().parse().unwrap();
    let app = testkit::TestApp::create(address, vec!["--data-dir".into(), folder.path().into()]).await;
    let conversation = app.conversation("phone").await;
    let path = format!("/v1/conversations/{conversation}/messages");
    let body = json!({ "local_id": "1", "body": "a very private sentence" });
    app.as_device("phone").header("X-Request-Id", "my-request-7").post(&path, &body).await.ok();
    let mut device = app.device("phone").await;
    let mut agent = app.agent().await;
    let message =
        json!({ "conversation_id": conversation, "local_id": "2", "body": "another private sentence" });
    device.done("message:send", message).await;
    agent.expect("conversation:updated").await;
    app.as_agent_with("rhq_adm_wrong").get("/v1/admin/audit").await;
    app.try_device("").await.err().unwrap();
    let kill = format!("kill -TERM {}", child.id().unwrap());
    assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    device.closed().await;
    agent.closed().await;
    assert!(patiently("the end", child.wait()).await.unwrap().success());
    let log = log.await.unwrap();
    for secret in ["private sentence", &app.api_key[8..], &app.admin_token[8..], "rhq_adm_wrong"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(log.contains("my-request-7"), "{log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let backend = Backend::fresh().await;
    let flags = ["--shutdown-timeout=60s", "--rate-limit-agent=0"];
    let mut server = ServerProcess::start(BINARY, &backend, &flags).await;
    let app = server.app().await;
    let mut device = app.device("phone").await;
    // A request whose body never ends keeps the server from being done.
    let mut request = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /v1/identify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-App-Id: {}\r\nX-Device-Id: d\r\nX-Api-Key: {}\r\n\r\n",
        app.app_id, app.api_key
    );
    tokio::io::AsyncWriteExt::write_all(&mut request, head.as_bytes()).await.unwrap();
    assert_eq!(device.call("ping", json!({})).await, "pong");
    server.signal("TERM").await;
    device.expect("server:shutdown").await;
    server.signal("TERM").await;
    let ended = tokio::time::timeout(Duration::from_secs(5), server.ended()).await.unwrap();
    assert_eq!(ended.code(), Some(130));
}

#[tokio::test]
async fn connections_over_the_server_s_own_limit_wait_until_there_is_room() {
    let server = TestServer::with(&["--max-connections=2"]).await;
    let app = server.app().await;
    let (first, mut second) = (app.device("first").await, app.device("second").await);
    let third = tokio::spawn({
        let app = app.clone();
        async move { app.device("third").await }
    });
    for _ in 0..20 {
        assert_eq!(second.call("ping", json!({})).await, "pong");
    }
    assert!(!third.is_finished());
    first.close().await;
    let mut third = patiently("room for the third", third).await.unwrap();
    assert_eq!(third.call("ping", json!({})).await, "pong");
}

#[tokio::test]
async fn the_page_of_the_api_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let page = server.http().get("/docs").await;
    assert_eq!(page.status, 200);
    assert!(
        !page.text.contains("http://") && !page.text.contains("https://") && !page.text.contains("//cdn")
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let document = server.http().get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["components"]["schemas"]["Message"]["properties"]["seq"].is_object());
}

#[tokio::test]
async fn a_health_check_says_whether_the_server_takes_work() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(BINARY, &Backend::in_folder(folder.path()), &[]).await;
    // Where a server listens on all addresses, the loopback one is asked.
    let listen = format!("0.0.0.0:{}", server.address().port());
    let environment = [("REPLYHQ_LISTEN", listen.as_str())];
    let check = || run(folder.path(), &environment, &["healthcheck"]);
    let output = check().await;
    assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(0), r#"{"status":"ok"}"#));
    // A server that can't write takes no work.
    let limit = format!("prlimit --pid={} --fsize=4096:unlimited", server.id());
    assert!(Command::new("sh").args(["-c", &limit]).status().await.unwrap().success());
    let output = eventually("a server without a disk", || async {
        let output = check().await;
        (output.status.code() == Some(1)).then_some(output)
    })
    .await;
    assert!(text(&output.stderr).contains("database_unavailable"), "{}", text(&output.stderr));
    server.kill().await;
    let output = check().await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    // One that never answers is not waited for.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = silent.local_addr().unwrap().to_string();
    let output = run(folder.path(), &[], &["healthcheck", "--listen", &listen, "--timeout", "200ms"]).await;
    assert!(text(&output.stderr).contains("no answer in time"), "{}", text(&output.stderr));
}

/// The metrics that a text names, each with the selector that stands behind it, if there is one.
fn named_metrics(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    // What goes on with a bracket is an expression for grep.
    for part in text.split("replyhq_").skip(1).filter(|part| !part.starts_with('(')) {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
        let selector = part[end..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        // Others than `name="value"` are placeholders: {namespace} in a table of metrics.
        let selector = selector.map(|(selector, _)| selector.to_owned()).filter(|text| text.contains("=\""));
        found.push((format!("replyhq_{}", &part[..end]), selector));
    }
    found
}

#[tokio::test]
async fn every_metric_that_alerts_and_documents_name_is_there_from_the_start() {
    let server = TestServer::start().await;
    let metrics = server.http().get("/metrics").await.text;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut named = 0;
    for file in
        ["deploy/alerts.yml", "docs/operations.md", "docs/troubleshooting.md", "docs/configuration.md"]
    {
        let written = std::fs::read_to_string(root.join(file)).unwrap();
        for (name, selector) in named_metrics(&written) {
            // It is by app: there is none of it before an old app came (see `old_clients`).
            if name == "replyhq_legacy_total" {
                continue;
            }
            named += 1;
            let is_it = |line: &&str| {
                let (series, _) = line.rsplit_once(' ').unwrap();
                let (found, labels) = series.split_once('{').unwrap_or((series, ""));
                let histogram =
                    ["_bucket", "_sum", "_count"].iter().any(|end| found.strip_suffix(end) == Some(&name));
                (found == name || histogram)
                    && selector.as_ref().is_none_or(|selector| labels.contains(selector.as_str()))
            };
            assert!(
                metrics.lines().filter(|line| !line.starts_with('#')).any(|line| is_it(&line)),
                "{file} names {name}{selector:?}, which is not in\n{metrics}"
            );
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn the_limits_that_are_documented_are_those_that_count() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let written = std::fs::read_to_string(path).unwrap();
    let (_, table) = written.split_once("## Limits").unwrap();
    let mut rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let bys: Vec<_> = rows.next().unwrap().split(" | ").skip(2).map(|by| by.trim_matches('`')).collect();
    let mut documented = Vec::new();
    for row in rows.skip(1).take(Action::ALL.len()) {
        let mut cells = row.split(" |").map(str::trim);
        let action = cells.next().unwrap().trim_matches('`');
        for (by, rate) in bys.iter().zip(cells.skip(1)).filter(|(_, rate)| !rate.is_empty()) {
            documented.push(format!("{action}.{by}={}", rate.replace([' ', ','], "")));
        }
    }
    let name = |(action, by, rate): &(Action, By, Rate)| {
        format!("{}.{}={}/{}", action.as_str(), by.as_str(), rate.per_minute, rate.burst)
    };
    let mut counted: Vec<_> = RATES.iter().map(name).collect();
    documented.sort();
    counted.sort();
    assert_eq!(documented, counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_left_leaves_nothing_behind_in_its_process() {
    // A SQLite file is held by one server at a time: who is still in memory still holds it.
    let mut server = TestServer::on(Backend::sqlite(), &[]).await;
    let mut app = server.app().await;
    let conversation = app.conversation("phone").await;
    for round in 0..3 {
        let (mut device, mut agent) = (app.device("phone").await, app.agent().await);
        agent.done("conversation:join", json!({ "conversation_id": conversation })).await;
        device.say(&conversation, &format!("round-{round}"), "hello").await;
        agent.expect("message:new").await;
        server.restart(&[]).await;
        app.address = server.address();
    }
    let path = format!("/v1/conversations/{conversation}/messages");
    let messages = app.as_device("phone").get(&path).await.ok();
    assert_eq!(messages["messages"].as_array().unwrap().len(), 3);
}
