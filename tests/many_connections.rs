//! Many connections: tabs of one device in every order, reconnects, cut networks, and presence at its edges only.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestServer};

/// The device's `presence:change` events until `count` of its connections are gone, as (is it online, how many).
async fn presence_until_gone(agent: &mut Client, device_id: &str, count: usize) -> Vec<(bool, u64)> {
    for _ in 0..count {
        assert_eq!(agent.expect("session:disconnect").await["device_id"], device_id);
    }
    changes(agent, device_id).await
}

/// As [`presence_until_gone`], once so many connections have come: agents hear of them a moment after they are there.
async fn presence_when_come(agent: &mut Client, device_id: &str, count: usize) -> Vec<(bool, u64)> {
    for _ in 0..count {
        assert_eq!(agent.expect("session:connect").await["device_id"], device_id);
    }
    changes(agent, device_id).await
}

/// The device's `presence:change` events so far.
async fn changes(agent: &mut Client, device_id: &str) -> Vec<(bool, u64)> {
    let of_device =
        agent.settled("presence:change").await.into_iter().filter(|change| change["device_id"] == device_id);
    of_device
        .map(|change| {
            (change["is_online"].as_bool().unwrap(), change["active_connections"].as_u64().unwrap())
        })
        .collect()
}

async fn active(app: &TestApp, device_id: &str) -> u64 {
    let presence = app.as_agent().get(&format!("/v1/admin/devices/{device_id}/presence")).await.ok();
    assert_eq!(presence["is_online"], presence["active_connections"] != 0);
    presence["active_connections"].as_u64().unwrap()
}

/// All orders in which `count` things can happen.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for order in orders(count - 1) {
        for at in 0..count {
            let mut order = order.clone();
            order.insert(at, count - 1);
            all.push(order);
        }
    }
    all
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Cut,
    LeaveNamespace,
}

async fn end(mut tab: Client, how: End) {
    match how {
        End::Close => tab.close().await,
        End::Cut => tab.cut(),
        End::LeaveNamespace => {
            tab.send_text("41/client,").await;
            tab.close().await;
        }
    }
}

#[tokio::test]
async fn tabs_may_close_in_any_order_and_the_device_is_online_until_the_last_is_gone() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let mut sent = 0;
    for tabs in [2, 3] {
        for order in orders(tabs) {
            for how in [End::Close, End::Cut, End::LeaveNamespace] {
                let mut open = HashMap::new();
                for tab in 0..tabs {
                    open.insert(tab, app.device_in_conversation("phone").await.0);
                }
                let told = presence_when_come(&mut agent, "phone", tabs).await;
                assert_eq!(told, [(true, 1)], "{order:?} {how:?}");
                for (closed, tab) in order.iter().enumerate() {
                    end(open.remove(tab).unwrap(), how).await;
                    let told = presence_until_gone(&mut agent, "phone", 1).await;
                    let is_last = closed + 1 == tabs;
                    assert_eq!(told, if is_last { vec![(false, 0)] } else { vec![] }, "{order:?} {how:?}");
                    assert_eq!(active(&app, "phone").await as usize, open.len());
                    sent += 1;
                    let message = agent.say(&conversation, &format!("{sent}"), "still there?").await;
                    for tab in open.values_mut() {
                        assert_eq!(tab.settled("message:new").await.last(), Some(&message));
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn tabs_that_close_all_at_once_are_one_change_of_presence() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    for _ in 0..5 {
        let mut tabs = Vec::new();
        for _ in 0..3 {
            tabs.push(app.device("phone").await);
        }
        assert_eq!(presence_when_come(&mut agent, "phone", 3).await, [(true, 1)]);
        let closing: Vec<_> = tabs.into_iter().map(|tab| tokio::spawn(tab.close())).collect();
        for closed in closing {
            closed.await.unwrap();
        }
        assert_eq!(presence_until_gone(&mut agent, "phone", 3).await, [(false, 0)]);
    }
    assert_eq!(active(&app, "phone").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_open_all_at_once_are_one_change_of_presence() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    for _ in 0..5 {
        let opening: Vec<_> = (0..10)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move { app.device("phone").await })
            })
            .collect();
        let mut tabs = Vec::new();
        for opened in opening {
            tabs.push(opened.await.unwrap());
        }
        assert_eq!(presence_when_come(&mut agent, "phone", 10).await, [(true, 1)]);
        assert_eq!(active(&app, "phone").await, 10);
        for tab in tabs {
            tab.cut();
        }
        assert_eq!(presence_until_gone(&mut agent, "phone", 10).await, [(false, 0)]);
    }
}

#[tokio::test]
async fn fifty_rapid_reconnects_are_fifty_comings_and_goings_and_leave_no_ghost() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    for round in 0..50 {
        let device = app.device("phone").await;
        if round % 2 == 0 {
            device.close().await;
        } else {
            device.cut();
        }
        assert_eq!(presence_until_gone(&mut agent, "phone", 1).await, [(true, 1), (false, 0)]);
    }
    assert_eq!(active(&app, "phone").await, 0);
    assert_eq!(agent.done("sessions:list", json!({ "app_id": app.app_id })).await["sessions"], json!([]));
}

#[tokio::test]
async fn reconnects_that_overlap_keep_the_device_online_throughout() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut device = app.device("phone").await;
    for round in 0..50 {
        let next = app.device("phone").await;
        let old = std::mem::replace(&mut device, next);
        if round % 2 == 0 {
            old.close().await;
        } else {
            old.cut();
        }
    }
    assert_eq!(presence_until_gone(&mut agent, "phone", 50).await, [(true, 1)]);
    assert_eq!(active(&app, "phone").await, 1);
    device.close().await;
    assert_eq!(presence_until_gone(&mut agent, "phone", 1).await, [(false, 0)]);
}

#[tokio::test]
async fn a_cut_network_is_noticed_at_once_where_the_kernel_tells() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    app.device("phone").await.cut();
    assert_eq!(agent.expect("session:disconnect").await["reason"], "transport close");
    assert_eq!(changes(&mut agent, "phone").await, [(true, 1), (false, 0)]);
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_dropped_by_the_ping_timeout_and_announced_once() {
    let server = TestServer::with(&["--ping-interval=200ms", "--ping-timeout=1500ms"]).await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut silent = app.device("silent").await;
    silent.fall_silent();
    let mut lively = app.device("lively").await;
    let listening = tokio::spawn(async move {
        silent.closed().await;
        silent
    });
    let live = tokio::spawn(async move {
        // Its pings are answered for as long as it receives.
        assert_eq!(lively.next().await.unwrap().0, "connected");
        lively.next().await
    });
    let gone = agent.expect("session:disconnect").await;
    assert_eq!((&gone["device_id"], &gone["reason"]), (&json!("silent"), &json!("ping timeout")));
    assert_eq!(changes(&mut agent, "silent").await, [(true, 1), (false, 0)]);
    assert_eq!(active(&app, "silent").await, 0);
    listening.await.unwrap();
    assert_eq!(active(&app, "lively").await, 1);
    live.abort();
}

#[tokio::test]
async fn one_silent_tab_of_two_does_not_take_the_device_offline() {
    let server = TestServer::with(&["--ping-interval=200ms", "--ping-timeout=1500ms"]).await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut silent = app.device("phone").await;
    silent.fall_silent();
    let mut lively = app.device("phone").await;
    let live = tokio::spawn(async move { while lively.next().await.is_some() {} });
    assert_eq!(presence_until_gone(&mut agent, "phone", 1).await, [(true, 1)]);
    assert_eq!(active(&app, "phone").await, 1);
    live.abort();
    assert_eq!(presence_until_gone(&mut agent, "phone", 1).await, [(false, 0)]);
}

#[tokio::test]
async fn devices_do_not_affect_each_other() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let mut agent = app.agent().await;
    let mut foreign = other.agent().await;
    let phone = app.device("phone").await;
    let mut laptop = app.device("laptop").await;
    let namesake = other.device("phone").await;
    agent.expect("session:connect").await;
    agent.expect("session:connect").await;
    assert_eq!(agent.settled("presence:change").await.len(), 2);
    phone.cut();
    assert_eq!(presence_until_gone(&mut agent, "phone", 1).await, [(false, 0)]);
    assert_eq!((active(&app, "phone").await, active(&app, "laptop").await), (0, 1));
    assert_eq!(active(&other, "phone").await, 1, "the same name in another app is another device");
    assert_eq!(presence_when_come(&mut foreign, "phone", 1).await, [(true, 1)]);
    assert_eq!(laptop.call("ping", json!({})).await, "pong");
    namesake.close().await;
    assert_eq!(presence_until_gone(&mut foreign, "phone", 1).await, [(false, 0)]);
    assert_eq!(agent.settled("presence:change").await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_newest_connection_gets_in_and_the_one_that_was_silent_longest_goes() {
    let server = TestServer::with(&["--max-connections-per-device=3"]).await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        tabs.push(app.device("phone").await);
    }
    let mut laptop = app.device("laptop").await;
    // Each time another one says nothing while the others do, the youngest first.
    for silent in [2, 0, 1] {
        for tab in tabs.iter_mut().enumerate().filter(|(at, _)| *at != silent).map(|(_, tab)| tab) {
            // Silence counts in milliseconds.
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(tab.call("ping", json!({})).await, "pong");
        }
        let newest = app.device("phone").await;
        let mut gone = std::mem::replace(&mut tabs[silent], newest);
        let told = gone.expect("error").await;
        assert_eq!(told["code"], "TOO_MANY_CONNECTIONS", "{told}");
        assert!(gone.closed().await, "after a Socket.IO disconnect stock clients stay away");
        agent.expect("session:disconnect").await;
        for tab in &mut tabs {
            assert_eq!(tab.call("ping", json!({})).await, "pong");
        }
        assert_eq!(active(&app, "phone").await, 3);
    }
    assert_eq!(laptop.call("ping", json!({})).await, "pong", "another device has its own limit");
    assert_eq!(changes(&mut agent, "phone").await, [(true, 1)], "it was online all the time");
}

#[tokio::test]
async fn many_who_come_at_once_put_out_no_more_than_are_too_many() {
    let server = TestServer::with(&["--max-connections-per-device=5"]).await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut coming = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let app = app.clone();
        coming.spawn(async move { app.device("phone").await });
    }
    let came = coming.join_all().await;
    for _ in 0..7 {
        agent.expect("session:disconnect").await;
    }
    let mut stayed = Vec::new();
    for mut tab in came {
        let ack = tab.ask("ping", json!({})).await;
        if tab.try_ack(ack).await.is_some() {
            stayed.push(tab);
        }
    }
    assert_eq!((stayed.len(), active(&app, "phone").await), (5, 5));
    assert_eq!(agent.settled("session:disconnect").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_limit_of_zero_connections_is_none() {
    let server = TestServer::with(&["--max-connections-per-device=0"]).await;
    let app = server.app().await;
    let mut tabs = Vec::new();
    for _ in 0..30 {
        tabs.push(app.device("phone").await);
    }
    assert_eq!(active(&app, "phone").await, 30);
}

#[tokio::test]
async fn twenty_connections_of_a_device_are_allowed_by_default() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut tabs = Vec::new();
    for _ in 0..20 {
        tabs.push(app.device("phone").await);
    }
    for tab in &mut tabs {
        assert_eq!(tab.call("ping", json!({})).await, "pong");
    }
    assert_eq!(active(&app, "phone").await, 20);
    tabs.push(app.device("phone").await);
    agent.expect("session:disconnect").await;
    assert_eq!(active(&app, "phone").await, 20);
}

#[tokio::test]
async fn a_device_that_leaves_before_it_is_let_in_leaves_no_ghost() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let enter = format!("40/client,{}", app.device_auth("phone"));
    for round in 0..20 {
        let mut hasty = Client::open(server.address(), "/client").await;
        // All at once, so that the server reads the second while it works on the first. It may say no to that.
        for _ in 0..=round % 4 {
            hasty.send_text(&enter).await;
            hasty.send_text("41/client,").await;
        }
        if round % 2 == 0 {
            hasty.close().await;
        } else {
            hasty.cut();
        }
    }
    // Who was cut off may still be on the way in; a socket that has ended lets nobody in any more.
    testkit::eventually("the end of all sockets", async || {
        let metrics = app.as_agent().get("/metrics").await.text;
        let ended = metrics.lines().filter_map(|line| {
            line.strip_prefix("replyhq_disconnects_total{")?.rsplit_once(' ')?.1.parse::<u64>().ok()
        });
        (ended.sum::<u64>() == 20).then_some(())
    })
    .await;
    testkit::eventually("the end of all sessions", async || {
        let sessions = app.as_agent().get("/v1/admin/sessions").await.ok();
        (sessions["sessions"] == json!([])).then_some(())
    })
    .await;
    assert_eq!(active(&app, "phone").await, 0);
    let (mut came, mut went) = (0, 0);
    testkit::patiently("the agent to have heard of each end", async {
        loop {
            came += agent.settled("session:connect").await.len();
            went += agent.settled("session:disconnect").await.len();
            if came == went {
                return;
            }
        }
    })
    .await;
    let told = changes(&mut agent, "phone").await;
    assert!(told.chunks(2).all(|edges| edges == [(true, 1), (false, 0)]), "{told:?}");
}
