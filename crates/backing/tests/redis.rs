//! A Redis is started, frozen, killed and started again.

use std::time::Duration;

use backing::{Redis, RedisOptions, Signal};

/// Far longer than an answer takes.
const SILENCE: Duration = Duration::from_millis(700);

#[tokio::test]
async fn restarted_it_is_empty_and_where_it_was() {
    let mut redis = Redis::start(RedisOptions::default()).await.unwrap();
    let url = redis.url();
    assert_eq!(redis.cli(&["SET", "key", "value"]).await.unwrap(), "OK");
    assert_eq!(redis.cli(&["GET", "key"]).await.unwrap(), "value");
    assert_eq!(redis.cli(&["FLUSHALL"]).await.unwrap(), "OK");
    assert_eq!(redis.cli(&["GET", "key"]).await.unwrap(), "");
    redis.cli(&["SET", "key", "value"]).await.unwrap();
    redis.restart().await.unwrap();
    assert_eq!((redis.cli(&["GET", "key"]).await.unwrap(), redis.url()), (String::new(), url));
    redis.signal(Signal::KILL).unwrap();
    assert!(redis.cli(&["PING"]).await.is_err());
    redis.restart().await.unwrap();
    redis.stop().await.unwrap();
    assert!(redis.cli(&["PING"]).await.is_err());
}

#[tokio::test]
async fn frozen_it_answers_nobody_and_then_goes_on() {
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    redis.signal(Signal::STOP).unwrap();
    let asked = tokio::time::timeout(SILENCE, redis.cli(&["PING"])).await;
    assert!(asked.is_err(), "{asked:?}");
    redis.signal(Signal::CONT).unwrap();
    assert_eq!(redis.cli(&["PING"]).await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let options = RedisOptions { password: Some("secret".to_owned()), ..RedisOptions::default() };
    let redis = Redis::start(options).await.unwrap();
    assert_eq!(redis.cli(&["PING"]).await.unwrap(), "PONG");
    assert_eq!(redis.url(), format!("redis://:secret@127.0.0.1:{}", redis.port()));
    assert!(redis.cli(&["--pass", "wrong", "PING"]).await.is_err());
}
