//! Backup and restore, by the commands of docs/operations.md: what was acknowledged before a copy began is in it, and a
//! server on the copy goes on where it ends.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use backing::{Postgres, Redis, RedisOptions};
use serde_json::{Value, json};
use testkit::{Backend, Client, ServerProcess, TestApp, eventually, patiently};
use tokio::process::Command;

use crate::BINARY;

const NO_LIMITS: [&str; 2] = ["--rate-limit-device=0", "--rate-limit-agent=0"];

/// Devices that send all the time.
const SENDERS: usize = 4;
/// Sends that each of them has in flight.
const WINDOW: usize = 8;
/// Copies taken meanwhile.
const COPIES: usize = 5;
/// Acknowledged sends before each copy, at least.
const BETWEEN_COPIES: usize = 200;

/// Conversations that nobody touches after the restore.
const IDLE: usize = 5;

/// The shell commands under this heading of docs/operations.md.
fn documented(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rest = text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}")).1;
    let (_, block) = rest.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// Runs commands of the documentation as they stand, but for where the data and the backups are. Here there is no
/// systemd and no user `replyhq`: the test stops and starts the server itself.
async fn run_documented(commands: &str, data: &Path, backups: &Path, database_url: Option<&str>) {
    let script: String = commands
        .lines()
        .filter(|line| !line.starts_with("systemctl "))
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("/var/lib/replyhq", data.to_str().unwrap())
        .replace("/var/backups", backups.to_str().unwrap())
        .replace(" -o replyhq -g replyhq", "")
        .replace("replyhq backup", &format!("{BINARY} backup"));
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &script]).envs(database_url.map(|url| ("REPLYHQ_DATABASE_URL", url)));
    let output = patiently("the documented commands", shell.output()).await.unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `replyhq backup` with these arguments.
async fn back_up(arguments: &[&str]) -> Output {
    let child = Command::new(BINARY).arg("backup").args(arguments).env_clear().stdin(Stdio::null()).output();
    patiently("the backup", child).await.unwrap()
}

fn flags<'a>(output: &'a Path, data: &'a Path) -> [&'a str; 4] {
    ["--output", output.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]
}

/// The one line on standard error.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
    assert!(output.stdout.is_empty());
    text
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Acknowledged messages by id.
type Acknowledged = Arc<Mutex<HashMap<String, Value>>>;

/// Sends without a pause until it is told to stop.
async fn send(mut device: Client, conversation: String, acknowledged: Acknowledged, stop: Arc<AtomicBool>) {
    let mut in_flight = std::collections::VecDeque::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        while in_flight.len() < WINDOW {
            number += 1;
            let message =
                json!({ "conversation_id": conversation, "local_id": format!("{number}"), "body": "x" });
            in_flight.push_back(device.ask("message:send", message).await);
        }
        let answer = device.ack(in_flight.pop_front().unwrap()).await;
        assert_eq!(answer["success"], true, "{answer}");
        let id = answer["message"]["id"].as_str().unwrap().to_owned();
        acknowledged.lock().unwrap().insert(id, answer["message"].clone());
    }
}

/// A load, and what was acknowledged of it.
struct Load {
    conversations: Vec<String>,
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    senders: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn begin(app: &TestApp) -> Self {
        let (acknowledged, stop) = (Acknowledged::default(), Arc::default());
        let (mut conversations, mut senders) = (Vec::new(), Vec::new());
        for number in 0..SENDERS {
            let (device, conversation) = app.device_in_conversation(&format!("device-{number}")).await;
            senders.push(tokio::spawn(send(
                device,
                conversation.clone(),
                Arc::clone(&acknowledged),
                Arc::clone(&stop),
            )));
            conversations.push(conversation);
        }
        Self { conversations, acknowledged, stop, senders }
    }

    /// What is acknowledged so far, once that is `more` than now.
    async fn after(&self, more: usize) -> HashMap<String, Value> {
        let enough = self.acknowledged.lock().unwrap().len() + more;
        eventually("acks", || async { (self.acknowledged.lock().unwrap().len() >= enough).then_some(()) })
            .await;
        self.acknowledged.lock().unwrap().clone()
    }

    async fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders.drain(..) {
            sender.await.unwrap();
        }
    }
}

/// All of a conversation's messages, whose seqs have no holes.
async fn read(app: &TestApp, conversation: &str) -> Vec<Value> {
    let (mut messages, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/admin/conversations/{conversation}/messages?limit=200&after={after}");
        let page = app.as_agent().get(&path).await.ok();
        for message in page["messages"].as_array().unwrap() {
            assert_eq!(message["seq"], messages.len() + 1, "a hole");
            messages.push(message.clone());
            after = message["id"].as_str().unwrap().to_owned();
        }
        if page["has_more"] == false {
            break;
        }
    }
    let row = app.as_agent().get(&format!("/v1/admin/conversations/{conversation}")).await.ok();
    assert_eq!(row["conversation"]["last_seq"], messages.len());
    messages
}

/// The restored server has what was acknowledged, and its devices go on. Returns how many messages were restored.
async fn check_restored(
    app: &TestApp,
    conversations: &[String],
    acknowledged: &HashMap<String, Value>,
) -> usize {
    let mut stored = HashMap::new();
    for (number, conversation) in conversations.iter().enumerate() {
        let messages = read(app, conversation).await;
        let last_seq = messages.len();
        stored.extend(
            messages.into_iter().map(|message| (message["id"].as_str().unwrap().to_owned(), message)),
        );
        let (mut device, joined) = app.device_in_conversation(&format!("device-{number}")).await;
        assert_eq!(&joined, conversation);
        assert_eq!(device.say(conversation, "after the restore", "x").await["seq"], last_seq + 1);
    }
    for (id, message) in acknowledged {
        assert_eq!(stored.get(id), Some(message), "acknowledged and not in the copy");
    }
    stored.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_under_load_has_every_message_acknowledged_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(BINARY, &Backend::in_folder(folder.path()), &NO_LIMITS).await;
    let app = server.app().await;
    let mut load = Load::begin(&app).await;
    let backups = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for number in 0..COPIES {
        let acknowledged = load.after(BETWEEN_COPIES).await;
        let file = backups.path().join(format!("{number}.db"));
        let mut arguments = flags(&file, folder.path()).to_vec();
        arguments.push("--json");
        let output = back_up(&arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let metadata = std::fs::metadata(&file).unwrap();
        assert_eq!(told["file"], file.to_str().unwrap());
        assert_eq!(told["bytes"], metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        copies.push((file, acknowledged, told["messages"].as_u64().unwrap()));
    }
    load.after(1).await;
    load.end().await;
    server.kill().await;
    assert_eq!(names_in(backups.path()), ["0.db", "1.db", "2.db", "3.db", "4.db"]);
    for (file, acknowledged, messages) in copies {
        let data = tempfile::tempdir().unwrap();
        std::fs::copy(&file, data.path().join("replyhq.db")).unwrap();
        let server = ServerProcess::start(BINARY, &Backend::in_folder(data.path()), &NO_LIMITS).await;
        let app = TestApp { address: server.address(), ..app.clone() };
        let restored = check_restored(&app, &load.conversations, &acknowledged).await;
        assert_eq!(restored as u64, messages);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_documented_restore_clients_that_know_more_than_the_copy_start_afresh() {
    let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(BINARY, &Backend::in_folder(folder.path()), &NO_LIMITS).await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    for number in 1..=3 {
        device.say(&conversation, &format!("{number}"), "x").await;
    }
    let backup = documented("### Back up: SQLite");
    run_documented(&backup, folder.path(), backups.path(), None).await;
    let fourth = device.say(&conversation, "4", "x").await;
    let fifth = device.say(&conversation, "5", "x").await;
    let younger = app.conversation("younger").await;
    // Killed, so that it leaves a WAL behind, which does not belong to the copy.
    server.kill().await;
    let restore = documented("### Restore: SQLite");
    run_documented(&restore, folder.path(), backups.path(), None).await;

    let server = ServerProcess::start(BINARY, &Backend::in_folder(folder.path()), &NO_LIMITS).await;
    let app = TestApp { address: server.address(), ..app };
    assert_eq!(read(&app, &conversation).await.len(), 3);
    let (mut device, _) = app.device_in_conversation("phone").await;
    let join = |conversation: &str, after: &Value| json!({ "conversation_id": conversation, "after": after });
    let refused = device.refused("conversation:join", join(&conversation, &fifth["id"])).await;
    assert_eq!(refused, "MESSAGE_NOT_FOUND");
    // Its retry of what the copy lacks is stored again, under the next seq.
    let again = device.say(&conversation, "5", "x").await;
    assert_eq!(again["seq"], 4);
    // The same seq as before, and another message: nobody takes one for the other.
    let refused = device.refused("conversation:join", join(&conversation, &fourth["id"])).await;
    assert_eq!(refused, "MESSAGE_NOT_FOUND");
    let afresh = device.done("conversation:join", join(&conversation, &json!(""))).await;
    assert_eq!(afresh["messages"].as_array().unwrap().len(), 4);
    let mut younger_device = app.device("younger").await;
    let refused = younger_device.refused("conversation:join", join(&younger, &json!(""))).await;
    assert_eq!(refused, "CONVERSATION_NOT_FOUND");
}

#[tokio::test]
async fn what_can_not_be_copied_is_one_clear_line_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data_dir = data.to_str().unwrap();
    let app = ["app", "create", "Shop", "--data-dir", data_dir];
    assert!(Command::new(BINARY).args(app).output().await.unwrap().status.success());
    let database = data.join("replyhq.db");
    let content = std::fs::read(&database).unwrap();
    let existing = folder.path().join("existing.db");
    std::fs::write(&existing, "precious").unwrap();
    std::fs::create_dir(folder.path().join("other")).unwrap();
    std::fs::write(folder.path().join("other/replyhq.db"), "no database at all, and long enough to see")
        .unwrap();
    let copy = folder.path().join("copy.db");
    let other = folder.path().join("other");
    let cases: [(&Path, &Path, bool, &str); 7] = [
        (&existing, &data, false, "--force"),
        (&copy, &folder.path().join("nowhere"), false, "there is no database"),
        (&copy, &other, false, "not a database"),
        (&database, &data, true, "belongs to the database"),
        (&data.join("replyhq.db-wal"), &data, true, "belongs to the database"),
        (&folder.path().join("no-folder/copy.db"), &data, false, "No such file"),
        (folder.path(), &data, true, "is a folder"),
    ];
    for (output, data, force, mention) in cases {
        let mut arguments = flags(output, data).to_vec();
        if force {
            arguments.push("--force");
        }
        let outcome = back_up(&arguments).await;
        let text = complaint(&outcome);
        assert!(text.contains(mention), "{text}");
        assert_eq!(outcome.status.code(), Some(1), "{text}");
    }
    assert_eq!(std::fs::read(&database).unwrap(), content);
    assert_eq!(std::fs::read_to_string(&existing).unwrap(), "precious");
    assert_eq!(names_in(folder.path()), ["data", "existing.db", "other"]);
    // A write that fails half-way, as on a full disk, leaves what was there.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {BINARY} backup --force --output {} --data-dir {data_dir}",
        existing.display()
    );
    let outcome = Command::new("sh").args(["-c", &script]).output().await.unwrap();
    let text = complaint(&outcome);
    assert!(text.contains("existing.db") && outcome.status.code() == Some(1), "{text}");
    assert_eq!(std::fs::read_to_string(&existing).unwrap(), "precious");
    assert_eq!(names_in(folder.path()), ["data", "existing.db", "other"]);
    // With --force and room it is replaced.
    let mut arguments = flags(&existing, &data).to_vec();
    arguments.push("--force");
    assert!(back_up(&arguments).await.status.success());
    assert_ne!(std::fs::read(&existing).unwrap(), b"precious");
}

#[tokio::test]
async fn a_backup_of_postgres_names_the_tool_for_it() {
    let arguments = ["--output", "copy.dump", "--database-url", "postgres://me:geheim@localhost/replyhq"];
    let outcome = back_up(&arguments).await;
    let text = complaint(&outcome);
    assert_eq!(outcome.status.code(), Some(2));
    assert!(text.contains("pg_dump --format=custom --file='copy.dump'"), "{text}");
    assert!(!text.contains("geheim"), "{text}");
}

/// Lets a Postgres's transactions count on.
async fn count_on(postgres: &Postgres) {
    let sql = "DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    postgres.psql(sql).await.unwrap();
}

/// Dumps one Postgres and restores into another by the documented commands, and lets two nodes work on that one.
async fn dump_and_restore(from: Postgres, to: Postgres) {
    let backups = tempfile::tempdir().unwrap();
    // The dump is written by this process's user.
    let nowhere = PathBuf::from("/nowhere");
    let database = |url: &str| vec!["--database-url".into(), url.into()];
    let url = from.create_database("replyhq").await.unwrap();
    let server = ServerProcess::start_on(BINARY, database(&url), &NO_LIMITS).await;
    let app = server.app().await;
    for number in 0..IDLE {
        app.conversation(&format!("idle-{number}")).await;
    }
    let mut load = Load::begin(&app).await;
    let acknowledged = load.after(BETWEEN_COPIES).await;
    run_documented(&documented("### Back up: Postgres"), &nowhere, backups.path(), Some(&url)).await;
    load.after(1).await;
    load.end().await;
    server.kill().await;
    drop(from);

    let url = to.create_database("replyhq").await.unwrap();
    run_documented(&documented("### Restore: Postgres"), &nowhere, backups.path(), Some(&url)).await;
    let mut redis = Redis::start(RedisOptions::default()).await.unwrap();
    let redis_url = format!("--redis-url={}", redis.url());
    let node_flags = [redis_url.as_str(), NO_LIMITS[0], NO_LIMITS[1]];
    let here = ServerProcess::start_on(BINARY, database(&url), &node_flags).await;
    let app_here = TestApp { address: here.address(), ..app.clone() };
    check_restored(&app_here, &load.conversations, &acknowledged).await;

    // Without Redis the nodes hear of each other by the database alone. This one has heard of nothing before, so
    // whatever its looks find it tells to the agent.
    redis.kill();
    let there = ServerProcess::start_on(BINARY, database(&url), &node_flags).await;
    let app_there = TestApp { address: there.address(), ..app };
    let mut agent = app_there.agent().await;
    agent.expect("connected").await;
    let (mut device, conversation) = app_here.device_in_conversation("device-0").await;
    let sent = device.say(&conversation, "by way of the database", "x").await;
    let updated = agent.expect("conversation:updated").await;
    assert_eq!(updated["last_message"]["id"], sent["id"], "told of what nobody has changed");
    let metrics = testkit::Http::new(there.address()).get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line == "replyhq_missed_made_up_total 1"), "{metrics}");
    // Nothing that was restored bears a number that this Postgres has not come to.
    let ahead = "SELECT count(*) FROM conversations WHERE change >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    assert_eq!(to.psql_in("replyhq", ahead).await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_restored_where_fewer_transactions_were_counted_works_on_all_nodes() {
    let (from, to) = (Postgres::start().await.unwrap(), Postgres::start().await.unwrap());
    count_on(&from).await;
    dump_and_restore(from, to).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_restored_where_more_transactions_were_counted_works_on_all_nodes() {
    let (from, to) = (Postgres::start().await.unwrap(), Postgres::start().await.unwrap());
    count_on(&to).await;
    dump_and_restore(from, to).await;
}
