//! What generated clients are made from: the documents that the server gives out are kept in `docs/`, so that a change of
//! what travels is seen in review, by whoever made it.

use std::path::Path;

use serde_json::Value;
use testkit::TestServer;

/// Compares the document with its file; with `REPLYHQ_UPDATE_DOCUMENTS` in the environment the file is written instead.
async fn is_kept(server: &TestServer, path: &str, file: &str) {
    let given = server.http().get(path).await.ok();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    if std::env::var_os("REPLYHQ_UPDATE_DOCUMENTS").is_some() {
        let text = serde_json::to_string_pretty(&given).unwrap() + "\n";
        std::fs::write(&file, text).unwrap();
    }
    let kept: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap_or_default()).unwrap_or_default();
    assert!(
        kept == given,
        "{path} is another than {}: run this test with REPLYHQ_UPDATE_DOCUMENTS=1 and commit what it writes",
        file.display()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_in_the_repository_are_those_that_the_server_gives_out() {
    let server = TestServer::start().await;
    is_kept(&server, "/openapi.json", "openapi.json").await;
    is_kept(&server, "/socket.schema.json", "socket.schema.json").await;
}
