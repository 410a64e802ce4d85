//! Stories of people, devices, claims, proofs, bindings and retired keys on two nodes, told by chance: at the end of each, and
//! on the way, everyone sees exactly what a model of the rules says.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{Http, TestApp, TestCluster, token_of};

use crate::BINARY;

/// Chance that tells the same story for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        // Xorshift: any chance will do.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

const DEVICES: usize = 4;
const PEOPLE: [&str; 2] = ["ann", "bob"];
const STEPS: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Claimed(usize),
    Proven(usize),
    /// What proved it holds no longer: nothing is shown until somebody is named.
    Asked,
}

#[derive(Debug)]
struct Conversation {
    id: String,
    device: usize,
    owner: Option<usize>,
    is_proven: bool,
    messages: Vec<String>,
}

/// The rules, and nothing else.
struct Model {
    at: [Who; DEVICES],
    /// The key that proved it, where it was proven.
    by: [String; DEVICES],
    conversations: Vec<Conversation>,
}

impl Model {
    fn shows(&self, device: usize, conversation: &Conversation) -> bool {
        let is_own = conversation.device == device && !conversation.is_proven;
        match self.at[device] {
            Who::Asked => false,
            Who::Nobody => is_own && conversation.owner.is_none(),
            Who::Claimed(person) => is_own && conversation.owner == Some(person),
            Who::Proven(person) => conversation.owner == Some(person) && (is_own || conversation.is_proven),
        }
    }

    fn shown(&self, device: usize) -> BTreeSet<String> {
        let shown = self.conversations.iter().filter(|conversation| self.shows(device, conversation));
        shown.map(|conversation| conversation.id.clone()).collect()
    }

    fn identify(&mut self, device: usize, who: Who) {
        // An app's word for somebody who is proven there already is no news.
        if let (Who::Claimed(claimed), Who::Proven(proven)) = (who, self.at[device])
            && claimed == proven
        {
            return;
        }
        self.at[device] = who;
        let owner = match who {
            Who::Claimed(person) | Who::Proven(person) => person,
            Who::Nobody | Who::Asked => return,
        };
        for conversation in &mut self.conversations {
            if conversation.device == device && conversation.owner.is_none() {
                conversation.owner = Some(owner);
                conversation.is_proven = who == Who::Proven(owner);
            }
        }
    }
}

struct Story {
    chance: Chance,
    /// The app as each node shows it.
    nodes: Vec<TestApp>,
    keys: Vec<(String, String)>,
    model: Model,
    number: usize,
}

fn name(device: usize) -> String {
    format!("device-{device}")
}

impl Story {
    /// REST as a device, by one of the nodes.
    fn device(&mut self, device: usize) -> Http {
        let node = self.chance.below(self.nodes.len());
        as_device(&self.nodes[node], device)
    }

    async fn step(&mut self) -> String {
        let device = self.chance.below(DEVICES);
        match self.chance.below(10) {
            0..4 => self.identify(device).await,
            4..8 => self.write(device).await,
            8 => {
                let agent = self.nodes[0].as_agent();
                agent.post(&format!("/v1/admin/devices/{}/unbind", name(device)), &json!({})).await;
                if let Who::Proven(_) = self.model.at[device] {
                    self.model.at[device] = Who::Asked;
                }
                format!("{device} is unbound")
            }
            _ => self.retire().await,
        }
    }

    async fn identify(&mut self, device: usize) -> String {
        let person = self.chance.below(PEOPLE.len());
        let key = self.chance.below(self.keys.len());
        let (who, body) = match self.chance.below(3) {
            0 => (Who::Nobody, json!({ "user": null })),
            1 => (Who::Claimed(person), json!({ "user": { "id": PEOPLE[person] } })),
            _ => (Who::Proven(person), json!({ "token": token_of(&self.keys[key].1, PEOPLE[person]) })),
        };
        if let Who::Proven(_) = who {
            self.model.by[device].clone_from(&self.keys[key].0);
        }
        self.device(device).post("/v1/identify", &body).await.ok();
        self.model.identify(device, who);
        format!("{who:?} at {device}")
    }

    /// Whoever is at the device opens a conversation and writes in it.
    async fn write(&mut self, device: usize) -> String {
        let http = self.device(device);
        if self.model.at[device] == Who::Asked {
            testkit::holds("nothing is opened before somebody is named", || async {
                http.post("/v1/conversations", &json!({})).await.json["code"] == "IDENTITY_REQUIRED"
            })
            .await;
            return format!("{device} is asked who is there");
        }
        // What another node knows of the device may be a second old.
        let opened = testkit::eventually("a conversation", || async {
            let answer = http.post("/v1/conversations", &json!({})).await;
            (answer.status == 200).then_some(answer.json)
        })
        .await;
        let id = opened["conversation"]["id"].as_str().unwrap().to_owned();
        let (owner, is_proven) = match self.model.at[device] {
            Who::Claimed(person) => (Some(person), false),
            Who::Proven(person) => (Some(person), true),
            Who::Nobody | Who::Asked => (None, false),
        };
        let known = self.model.conversations.iter_mut().find(|conversation| conversation.id == id);
        let conversation = match known {
            Some(known) => {
                assert_eq!((known.owner, known.is_proven), (owner, is_proven), "{id} is another's");
                assert!(known.is_proven || known.device == device, "{id} is another device's");
                known
            }
            None => {
                let messages = Vec::new();
                self.model.conversations.push(Conversation {
                    id: id.clone(),
                    device,
                    owner,
                    is_proven,
                    messages,
                });
                self.model.conversations.last_mut().unwrap()
            }
        };
        self.number += 1;
        let body = self.number.to_string();
        let message = json!({ "local_id": body, "body": body });
        http.post(&format!("/v1/conversations/{id}/messages"), &message).await.ok();
        conversation.messages.push(body);
        format!("{device} writes in {id}")
    }

    /// A key goes, with what it has proved, and another comes.
    async fn retire(&mut self) -> String {
        let app = &self.nodes[0];
        let (key, secret) = self.keys.remove(0);
        app.command(&["identity", "retire", &key, "--end-bindings"]).await;
        for (at, by) in self.model.at.iter_mut().zip(&self.model.by) {
            if matches!(at, Who::Proven(_)) && *by == key {
                *at = Who::Asked;
            }
        }
        let refused =
            as_device(app, 0).post("/v1/identify", &json!({ "token": token_of(&secret, "ann") })).await;
        assert_eq!(refused.failure(), (401, "INVALID_CREDENTIALS"));
        self.keys.push(app.identity_secret().await);
        "a key is retired".to_owned()
    }

    /// Every device sees on every node what the model says, and nothing else.
    async fn everyone_sees_what_they_should(&self, after: &str) {
        for device in 0..DEVICES {
            let expected = self.model.shown(device);
            for app in &self.nodes {
                let http = as_device(app, device);
                let what = format!("after {after}: {device} sees {expected:?}");
                testkit::holds(&what, || async {
                    let answer = http.get("/v1/conversations").await;
                    if self.model.at[device] == Who::Asked {
                        return answer.json["code"] == "IDENTITY_REQUIRED";
                    }
                    answer.status == 200 && ids(&answer.json) == expected
                })
                .await;
            }
        }
    }
}

fn as_device(app: &TestApp, device: usize) -> Http {
    app.as_owner(&name(device), &format!("secret-of-device-{device}-which-is-long-enough"))
}

fn ids(list: &Value) -> BTreeSet<String> {
    let list = list["conversations"].as_array().unwrap();
    list.iter().map(|conversation| conversation["id"].as_str().unwrap().to_owned()).collect()
}

async fn tell(cluster: &TestCluster, seed: u64) {
    let first = cluster.app().await;
    let nodes = vec![cluster.at(&first, 0), cluster.at(&first, 1)];
    let keys = vec![first.identity_secret().await, first.identity_secret().await];
    let model = Model { at: [Who::Nobody; DEVICES], by: Default::default(), conversations: Vec::new() };
    let mut story = Story { chance: Chance(seed), nodes, keys, model, number: 0 };
    let mut told = Vec::new();
    for step in 0..STEPS {
        told.push(story.step().await);
        if step % 5 == 4 {
            story.everyone_sees_what_they_should(&format!("seed {seed}, {told:?}")).await;
        }
    }
    // In the end by what is in them, and by sockets: each may be joined by whom it is shown to.
    for device in 0..DEVICES {
        let app = &story.nodes[device % 2];
        let mut socket =
            app.owner(&name(device), &format!("secret-of-device-{device}-which-is-long-enough")).await;
        for conversation in &story.model.conversations {
            let join = json!({ "conversation_id": conversation.id, "after": "" });
            let joined = socket.call("conversation:join", join).await;
            let is_shown = story.model.shows(device, conversation);
            assert_eq!(
                joined["success"], is_shown,
                "seed {seed}: {device} and {conversation:?} after {told:?}"
            );
            if is_shown {
                let bodies = joined["messages"].as_array().unwrap().iter();
                let bodies: Vec<_> =
                    bodies.map(|message| message["body"].as_str().unwrap().to_owned()).collect();
                assert_eq!(bodies, conversation.messages, "seed {seed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_people_and_devices_do_everyone_sees_what_the_rules_say() {
    let cluster = TestCluster::of(BINARY, 2).await;
    for seed in [1, 2_026, 777_777, 42_424_242] {
        tell(&cluster, seed).await;
    }
}
