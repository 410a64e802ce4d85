//! Other users of the same machine: what they can read, hold, or have prepared.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use backing::Postgres;
use testkit::{Backend, ServerProcess, patiently};
use tokio::process::Command;

use crate::BINARY;

/// Runs the binary as a shell does that lets others read what is made.
async fn run(arguments: &[&str]) -> Output {
    let script = format!("umask 022; exec {BINARY} \"$@\"");
    let child = Command::new("sh").args(["-c", &script, "sh"]).args(arguments).stdin(Stdio::null()).output();
    patiently("the command", child).await.unwrap()
}

/// Runs it and expects one line of complaint, with this in it.
async fn refused(arguments: &[&str], mention: &str) -> Output {
    let output = run(arguments).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: ") && text.contains(mention), "{text}");
    output
}

/// An app in a new data folder, and the folder's name.
async fn data(folder: &Path) -> (PathBuf, String) {
    let data = folder.join("data");
    let name = data.to_str().unwrap().to_owned();
    let output = run(&["app", "create", "Shop", "--data-dir", &name]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (data, name)
}

/// What is there, with who may do what.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut modes: Vec<_> = entries
        .map(|entry| {
            let mode = entry.metadata().unwrap().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect();
    modes.sort();
    modes
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

#[tokio::test]
async fn nobody_else_reads_what_the_server_writes_whatever_the_shell_allows() {
    let folder = tempfile::tempdir().unwrap();
    let (data, name) = data(folder.path()).await;
    assert_eq!(mode(&data), 0o700);
    // As an earlier version has left it.
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    for (file, _) in modes(&data) {
        fs::set_permissions(data.join(file), Permissions::from_mode(0o644)).unwrap();
    }
    let backend = Backend::in_folder(&data);
    let server = ServerProcess::start(BINARY, &backend, &[]).await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    device.say(&conversation, "1", "x").await;
    let found = modes(&data);
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    for expected in ["replyhq.db", "replyhq.db-shm", "replyhq.db-wal", "replyhq.db.lock"] {
        assert!(names.contains(&expected), "{names:?}");
    }
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
    assert_eq!(mode(&data), 0o700);
    // And the copy, too.
    let copy = folder.path().join("copy.db");
    assert!(run(&["backup", "--output", copy.to_str().unwrap(), "--data-dir", &name]).await.status.success());
    assert_eq!(mode(&copy), 0o600);
}

#[tokio::test]
async fn links_that_others_have_prepared_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (data, name) = data(folder.path()).await;
    let target = folder.path().join("target");
    fs::write(&target, "precious").unwrap();
    for lock in ["replyhq.db.lock", "replyhq.db.migrate.lock"] {
        let lock = data.join(lock);
        let _ = fs::remove_file(&lock);
        symlink(&target, &lock).unwrap();
        refused(&["app", "list", "--data-dir", &name], "is a link").await;
        refused(&["serve", "--listen=127.0.0.1:0", "--data-dir", &name], "is a link").await;
        fs::remove_file(&lock).unwrap();
    }
    let copy = folder.path().join("copy.db");
    // Where earlier versions wrote; and a file that somebody keeps open, to read along.
    symlink(&target, folder.path().join("copy.db.partial")).unwrap();
    let output = copy.to_str().unwrap();
    assert!(run(&["backup", "--output", output, "--data-dir", &name]).await.status.success());
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(copy.symlink_metadata().unwrap().is_file());
    // A link in the copy's own place is replaced, not followed.
    fs::remove_file(&copy).unwrap();
    symlink(&target, &copy).unwrap();
    assert!(run(&["backup", "--force", "--output", output, "--data-dir", &name]).await.status.success());
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(copy.symlink_metadata().unwrap().is_file());
}

#[tokio::test]
async fn what_a_killed_backup_leaves_nobody_else_can_read_and_the_next_one_removes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, name) = data(folder.path()).await;
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let copy = backups.join("copy.db");
    let output = copy.to_str().unwrap();
    // Killed by the signal of a file that grows too large.
    let script = format!("ulimit -f 8; exec {BINARY} backup --output {output} --data-dir {name}");
    let killed = Command::new("sh").args(["-c", &script]).output().await.unwrap();
    assert_eq!(killed.status.code(), None, "{}", String::from_utf8_lossy(&killed.stderr));
    let left = modes(&backups);
    assert!(matches!(left.as_slice(), [(name, 0o700)] if name.starts_with(".copy.db.partial-")), "{left:?}");
    assert!(run(&["backup", "--output", output, "--data-dir", &name]).await.status.success());
    assert_eq!(modes(&backups), [("copy.db".to_owned(), 0o600)]);
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_named_and_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let (data, name) = data(folder.path()).await;
    let held = File::create(data.join("replyhq.db.migrate.lock")).unwrap();
    held.lock().unwrap();
    let output = refused(&["app", "list", "--data-dir", &name], "replyhq.db.migrate.lock").await;
    assert_eq!(output.status.code(), Some(1));
    drop(held);
    assert!(run(&["app", "list", "--data-dir", &name]).await.status.success());
}

#[tokio::test]
async fn a_password_in_a_file_is_neither_in_the_arguments_nor_in_what_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start().await.unwrap();
    let file = folder.path().join("url");
    let url = postgres.url("postgres");
    fs::write(&file, format!("{url}\n")).unwrap();
    let name = file.to_str().unwrap();
    let database = vec!["--database-url-file".into(), name.into()];
    let server = ServerProcess::start_on::<&str>(BINARY, database, &[]).await;
    let arguments = fs::read(format!("/proc/{}/cmdline", server.id())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("postgres://"));
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    device.say(&conversation, "1", "x").await;

    for (content, mention) in [
        ("postgres://me:geheim@localhost:port/replyhq", "port"),
        ("http://me:geheim@localhost/replyhq", "expected sqlite:PATH or postgres://"),
        ("postgres://me:geheim@localhost/replyhq\npostgres://me:geheim@localhost/other", "one URL"),
        ("", "one URL"),
    ] {
        fs::write(&file, content).unwrap();
        let output = refused(&["app", "list", "--database-url-file", name], mention).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(name) && !text.contains("geheim"), "{text}");
    }
    fs::write(&file, "redis://:geheim@localhost:port").unwrap();
    let output = refused(&["serve", "--redis-url-file", name], "port").await;
    assert!(!String::from_utf8_lossy(&output.stderr).contains("geheim"));
    let missing = folder.path().join("missing");
    refused(&["app", "list", "--database-url-file", missing.to_str().unwrap()], "No such file").await;
}

#[tokio::test]
async fn of_a_url_and_its_file_the_stronger_source_counts_and_of_two_flags_neither() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let file = folder.path().join("url");
    fs::write(&file, place("by-file.db")).unwrap();
    let file = file.to_str().unwrap();
    let made = |name: &str| folder.path().join(name).exists();
    let list = async |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["app", "list"]).args(arguments).envs(environment.iter().copied());
        patiently("the command", command.output()).await.unwrap().status.code()
    };
    let (by_flag, by_variable) = (place("by-flag.db"), place("by-variable.db"));
    assert_eq!(list(&[], &["--database-url", &by_flag, "--database-url-file", file]).await, Some(2));
    let both = [("REPLYHQ_DATABASE_URL", by_variable.as_str()), ("REPLYHQ_DATABASE_URL_FILE", file)];
    assert_eq!(list(&both, &[]).await, Some(2));
    assert!(!made("by-flag.db") && !made("by-variable.db") && !made("by-file.db"));
    assert_eq!(list(&both[1..], &["--database-url", &by_flag]).await, Some(0));
    assert!(made("by-flag.db") && !made("by-file.db"));
    assert_eq!(list(&both[..1], &["--database-url-file", file]).await, Some(0));
    assert!(made("by-file.db") && !made("by-variable.db"));
}
