//! The people of the demo: some have written, others come while one looks on; they read what is answered, and answer it.

use std::sync::Arc;
use std::time::Duration;

use chat::{Chat, Device, Page, Principal, Receipt, Restrictions};
use protocol::rest::{OpenConversation, User};
use protocol::{
    AppId, ConnectionId, ConversationId, Failure, MessageId, MessageStatus, Sender, Session, UserInfo,
};
use store::Cursor;
use tokio::task::JoinSet;

use super::send;

/// How often somebody looks for an answer.
const LOOK: Duration = Duration::from_secs(2);
/// How long somebody takes to read, and to write.
const READ: Duration = Duration::from_millis(1_500);
const WRITE: Duration = Duration::from_millis(2_500);

/// Somebody, and what they say: first by themselves, then as answers to whatever they are told.
struct Person {
    id: &'static str,
    name: &'static str,
    device: &'static str,
    email: &'static str,
    says: &'static [&'static str],
    answers: &'static [&'static str],
    /// When they come, in seconds; those who come at 0 have written before, and are not there.
    comes_s: u64,
}

const PEOPLE: [Person; 6] = [
    Person {
        id: "usr_31",
        name: "Noor de Vries",
        device: "Pixel 9",
        email: "noor@example.com",
        says: &["Is the shop open on Sunday?"],
        answers: &[],
        comes_s: 0,
    },
    Person {
        id: "usr_32",
        name: "山田 美咲",
        device: "iPhone 16",
        email: "misaki@example.com",
        says: &["返金の手続きはいつ完了しますか？先週からまだ反映されていないようです。"],
        answers: &["ありがとうございます。待っています。"],
        comes_s: 2,
    },
    Person {
        id: "usr_33",
        name: "Leila Haddad",
        device: "iPhone 15",
        email: "leila@example.com",
        says: &[
            "Hi! Since the update my bike stops charging at 38 %.",
            "This is the page that the app opens: https://shop.example/help/charging?bike=HB-2207#paused",
        ],
        answers: &["The light on the charger is red 🔴", "Tomorrow is perfect, thank you 🙏", "👍"],
        comes_s: 3,
    },
    Person {
        id: "usr_34",
        name: "Chukwuemeka Obi",
        device: "Galaxy S25",
        email: "obi@example.com",
        says: &["The app says 417. What is that?"],
        answers: &["Ah, I see. I will try that.", "It works, thank you!"],
        comes_s: 15,
    },
    Person {
        id: "usr_35",
        name: "محمد العتيبي",
        device: "Firefox on Windows",
        email: "otaibi@example.com",
        says: &["الدراجة لا تعمل بعد التحديث الأخير. هل يمكنكم مساعدتي اليوم؟"],
        answers: &["شكرًا جزيلًا!"],
        comes_s: 40,
    },
    Person {
        id: "usr_36",
        name: "Jean-Baptiste Lefèvre",
        device: "Safari on macOS",
        email: "jb@example.com",
        says: &["Bonjour, est-ce que vous livrez aussi en Belgique ?"],
        answers: &["Parfait, merci beaucoup !"],
        comes_s: 75,
    },
];

/// They come, one after another, and go on until the server ends.
pub(super) async fn live(chat: Arc<Chat>, app_id: AppId) {
    let mut all = JoinSet::new();
    for person in &PEOPLE {
        let (chat, app_id) = (Arc::clone(&chat), app_id.clone());
        all.spawn(async move {
            if let Err(failure) = Guest::new(&app_id, person).stay(&chat).await {
                tracing::debug!(%failure.message, person.name, "somebody of the demo has gone");
            }
        });
    }
    all.join_all().await;
}

struct Guest {
    person: &'static Person,
    device: Device,
}

impl Guest {
    fn new(app_id: &AppId, person: &'static Person) -> Self {
        let device = Device {
            app_id: app_id.clone(),
            device_id: format!("demo-{}", person.id).into(),
            address: None,
            person: None,
            restrictions: Restrictions::default(),
        };
        Self { person, device }
    }

    async fn stay(&self, chat: &Arc<Chat>) -> Result<(), Failure> {
        let Person { id, name, device, email, says, answers, comes_s } = self.person;
        tokio::time::sleep(Duration::from_secs(*comes_s)).await;
        let (now, chance) = (chat.ambient().now(), chat.ambient().chance());
        let connection_id = ConnectionId::new(now, chance);
        if *comes_s > 0 {
            let user_info = UserInfo { user_id: (*id).into(), name: Some((*name).into()) };
            let Device { app_id, device_id, .. } = self.device.clone();
            let session = Session {
                connection_id: connection_id.clone(),
                app_id,
                device_id,
                connected_at: now,
                user_info: Some(user_info),
            };
            chat.connect(session).await;
        }
        let user = User {
            id: (*id).into(),
            name: Some((*name).into()),
            email: Some((*email).into()),
            attributes: None,
        };
        let device_context = [("model".to_owned(), (*device).into())].into_iter().collect();
        let wish = OpenConversation { user: Some(user), device_context: Some(device_context) };
        let conversation_id = chat.open_conversation(&self.device, wish).await?.id;
        let principal = Principal::Device(self.device.clone());
        let mut talk = Talk { chat, principal, connection_id, conversation_id, seen: None, said: 0 };
        for text in *says {
            talk.say(text).await?;
        }
        if *comes_s == 0 {
            return Ok(());
        }
        let mut answers = answers.iter();
        loop {
            tokio::time::sleep(LOOK).await;
            if talk.was_answered().await?
                && let Some(answer) = answers.next()
            {
                talk.say(answer).await?;
            }
        }
    }
}

/// Somebody's side of a conversation.
struct Talk<'a> {
    chat: &'a Arc<Chat>,
    principal: Principal,
    connection_id: ConnectionId,
    conversation_id: ConversationId,
    seen: Option<MessageId>,
    said: usize,
}

impl Talk<'_> {
    async fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.said > 0 {
            let id = self.conversation_id.clone();
            self.chat.typing(&self.principal, &self.connection_id, id, true)?;
            tokio::time::sleep(WRITE).await;
        }
        self.said += 1;
        let local_id = format!("demo-{}", self.said);
        send(self.chat, &self.principal, &self.conversation_id, &local_id, text).await
    }

    /// Whether an agent has written; who looks has read it.
    async fn was_answered(&mut self) -> Result<bool, Failure> {
        let (after, page) = (Cursor::After(self.seen.clone()), Page::of(None)?);
        let history = self.chat.history(&self.principal, &self.conversation_id, after, page).await?;
        let Some(last) = history.messages.last() else { return Ok(false) };
        self.seen = Some(last.id.clone());
        let answer = history.messages.iter().rfind(|message| message.sender == Sender::Agent);
        let Some(answer) = answer else { return Ok(false) };
        tokio::time::sleep(READ).await;
        let receipt = Receipt {
            up_to: answer.id.clone(),
            conversation_id: Some(self.conversation_id.clone()),
            status: MessageStatus::Read,
        };
        self.chat.acknowledge(&self.principal, receipt).await?;
        Ok(true)
    }
}
