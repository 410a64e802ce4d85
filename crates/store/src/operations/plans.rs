//! How the databases go about the statements whose tables grow for ever: by an index, whatever is asked for.

use std::fmt::Write as _;

use backing::Postgres;
use tokio_postgres::NoTls;

use super::conversations::{LATEST, LATEST_OPEN, OF_APP, OF_DEVICE, OF_STATUS};
use crate::{Location, Purpose, Store};

/// The statements, with values in place of their parameters.
fn statements() -> Vec<String> {
    let filled = |sql: &str, values: &[&str]| {
        let mut filled = sql.to_owned();
        for (number, value) in values.iter().enumerate().rev() {
            filled = filled.replace(&format!("${}", number + 1), value);
        }
        filled
    };
    let mut statements = Vec::new();
    for place in [["9223372036854775807", "''"], ["500000", "'c5000'"]] {
        let [updated_at, id] = place;
        statements.push(filled(OF_APP, &["'app-0'", updated_at, id, "50"]));
        for status in ["'open'", "'resolved'"] {
            statements.push(filled(OF_STATUS, &["'app-0'", updated_at, id, status, "50"]));
        }
        for status in ["NULL", "'open'"] {
            statements.push(filled(OF_DEVICE, &["'app-0'", updated_at, id, "'d77'", status, "50"]));
        }
    }
    statements.extend([LATEST, LATEST_OPEN].map(|sql| filled(sql, &["'app-0'", "'d77'"])));
    statements
}

async fn opened(location: &Location) {
    let (store, _completions) =
        Store::open(location, Purpose::Command, std::sync::Arc::new(|_| ())).await.expect("a database");
    drop(store);
}

#[tokio::test]
async fn sqlite_walks_no_table_and_sorts_no_app() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replyhq.db");
    opened(&Location::Sqlite(path.clone())).await;
    let connection = rusqlite::Connection::open(path).expect("the file");
    for sql in statements() {
        let mut plan = String::new();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        let mut rows = explain.query([]).expect("a plan");
        while let Some(row) = rows.next().expect("a row") {
            writeln!(plan, "{}", row.get::<_, String>(3).expect("text")).expect("memory");
        }
        // What is scanned may only be a page that has been made before.
        let walks = plan.lines().any(|line| {
            line.starts_with("SCAN")
                && !["page", "open", "resolved", "(subquery"].iter().any(|made| line[5..].starts_with(made))
        });
        assert!(!walks, "{sql}\n{plan}");
        let finds =
            ["conversations_by_status", "conversations_by_device"].iter().any(|index| plan.contains(index));
        assert!(finds, "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn postgres_reads_a_page_of_rows_for_a_page() {
    const FILL: &str = "\
        INSERT INTO apps (id, name, api_key_hash, created_at) \
            SELECT 'app-' || n, 'x', 'x', 0 FROM generate_series(0, 9) n; \
        INSERT INTO conversations (id, app_id, device_id, status, last_seq, unread_count, device_delivered_seq, \
            device_read_seq, agent_delivered_seq, agent_read_seq, created_at, updated_at) \
            SELECT 'c' || n, 'app-' || n % 10 / 9, 'd' || n / 3, CASE WHEN n % 500 = 0 THEN 'open' ELSE 'resolved' END, \
            2, 0, 0, 0, 0, 0, n, n * 10 FROM generate_series(1, 60000) n; \
        INSERT INTO messages (conversation_id, seq, id, local_id, body, sender, created_at) \
            SELECT 'c' || n, s, 'm' || n || '-' || s, s, 'x', 'user', n FROM generate_series(1, 60000) n, generate_series(1, 2) s; \
        ANALYZE";
    let postgres = Postgres::start().await.expect("a private Postgres");
    let url = postgres.url("postgres");
    opened(&Location::Postgres(Box::new(url.parse().expect("a URL")))).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute(FILL).await.expect("rows");
    for sql in statements() {
        let explained = client.query(&format!("EXPLAIN (ANALYZE, TIMING OFF, BUFFERS) {sql}"), &[]).await;
        let plan: Vec<String> = explained.expect("a plan").iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        // Pages of the database: some for each of the fifty conversations and their messages.
        let read = plan.lines().find_map(|line| line.trim().strip_prefix("Buffers: shared hit="));
        let read = read.and_then(|rest| rest.split(' ').next()).and_then(|hit| hit.parse::<u32>().ok());
        assert!(read.is_some_and(|read| read < 1_000), "{sql}\n{plan}");
    }
}
