//! A Postgres is started, frozen, killed and started again.

use std::time::Duration;

use backing::{Durability, Postgres, PostgresOptions};

/// Far longer than an answer takes.
const SILENCE: Duration = Duration::from_millis(700);

#[tokio::test]
async fn what_was_confirmed_outlives_a_kill() {
    let mut postgres = Postgres::start().await.unwrap();
    let url = postgres.create_database("one").await.unwrap();
    assert_eq!(url, postgres.url("one"));
    postgres.psql_in("one", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)").await.unwrap();
    postgres.kill();
    assert!(postgres.psql("SELECT 1").await.is_err());
    postgres.run().await.unwrap();
    assert_eq!(postgres.psql_in("one", "SELECT n FROM t").await.unwrap(), "7");
    postgres.restart().await.unwrap();
    assert_eq!(postgres.psql_in("one", "SELECT n FROM t").await.unwrap(), "7");
    postgres.stop().await.unwrap();
    postgres.run().await.unwrap();
    assert_eq!(postgres.url("one"), url);
    assert_eq!(postgres.psql_in("one", "SELECT n FROM t").await.unwrap(), "7");
}

#[tokio::test]
async fn frozen_it_answers_nobody_and_then_goes_on() {
    let postgres = Postgres::start().await.unwrap();
    // A session that is open already freezes too.
    let mut open = tokio::spawn({
        let url = postgres.url("postgres");
        async move {
            let sql = "SELECT pg_sleep(0.3); SELECT 1";
            tokio::process::Command::new("psql").args(["-XAt", "-d", &url, "-c", sql]).output().await
        }
    });
    while postgres
        .psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0%'")
        .await
        .unwrap()
        != "2"
    {}
    postgres.stop_processes().unwrap();
    let asked = tokio::time::timeout(SILENCE, postgres.psql("SELECT 1")).await;
    assert!(asked.is_err(), "{asked:?}");
    assert!(tokio::time::timeout(SILENCE, &mut open).await.is_err());
    postgres.continue_processes().unwrap();
    assert_eq!(postgres.psql("SELECT 1").await.unwrap(), "1");
    assert!(open.await.unwrap().unwrap().status.success());
}

#[tokio::test]
async fn a_frozen_one_can_be_killed() {
    let mut postgres = Postgres::start().await.unwrap();
    postgres.stop_processes().unwrap();
    postgres.restart().await.unwrap();
    assert_eq!(postgres.psql("SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_one() {
    let postgres = Postgres::start().await.unwrap();
    let folder = postgres.psql("SHOW data_directory").await.unwrap();
    let pid = postgres.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
    let process = format!("/proc/{}/exe", pid.await.unwrap());
    assert!(std::fs::metadata(&folder).is_ok() && std::fs::read_link(&process).is_ok());
    drop(postgres);
    assert!(std::fs::metadata(&folder).is_err() && std::fs::read_link(&process).is_err());
}

#[tokio::test]
async fn settings_are_those_for_tests_or_those_that_postgres_comes_with() {
    let settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), \
                    current_setting('max_connections')";
    let postgres = Postgres::start().await.unwrap();
    assert_eq!(postgres.psql(settings).await.unwrap(), "off|on|300");
    let options = PostgresOptions {
        durability: Durability::AsShipped,
        max_connections: None,
        ..PostgresOptions::default()
    };
    let mut postgres = Postgres::create(options).unwrap();
    postgres.run().await.unwrap();
    assert_eq!(postgres.psql(settings).await.unwrap(), "on|on|100");
}
