//! The printed program, run as its reader runs it.

use testkit::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quickstart_prints_what_it_sends_each_time() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let url = format!("http://{}", app.address);
    for run in 1..=12 {
        let folder = tempfile::tempdir().expect("a folder");
        let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_quickstart"))
            .args([url.as_str(), &app.app_id, &app.api_key])
            .arg(folder.path())
            .output();
        let output = testkit::patiently("the program", program).await.expect("a program");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains("User: Hello! (Sent)"), "{printed}");
        assert!(printed.contains("0 messages wait to be sent"), "{printed}");
        let listed = app.as_agent().get("/v1/admin/conversations").await.ok();
        assert_eq!(listed["conversations"].as_array().map(Vec::len), Some(run));
    }
}
