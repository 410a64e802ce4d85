//! All that travels on a socket, as one JSON Schema: for clients that are generated, and for people who write one.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::event::{
    self, AgentTyping, AgentViewing, Connected, ConversationJoined, Named, PresenceChange, ServerShutdown,
    SessionDisconnect, StatusChange, UserTyping,
};
use crate::request::{
    AgentAuth, DeviceAuth, JoinAsAgent, JoinConversation, LeaveConversation, ListSessions, ReadMessages,
    ReportDelivery, Request, SendToConversation, StartTyping, StopTyping, SubscribeToApp, ViewConversation,
};
use crate::{Activity, Failure, InboxConversation, Message, Session};

/// What a namespace takes and gives, as it is collected.
#[derive(Default)]
struct Namespace {
    auth: Value,
    requests: Map<String, Value>,
    events: Map<String, Value>,
}

/// The types that were met.
#[derive(Default)]
struct Definitions(Vec<(String, RefOr<Schema>)>);

/// As [`event::ConversationUpdated`] travels: that one borrows, so that nothing is cloned for a feed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its form matters")]
struct ConversationUpdated {
    /// The conversation as it is now, without its newest message, which stands beside it.
    conversation: InboxConversation,
    /// Its newest message, at most 200 characters of it; null while there is none.
    #[schema(required = true)]
    last_message: Option<Message>,
}

impl Definitions {
    fn refer<T: ToSchema>(&mut self) -> Value {
        self.0.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.0);
        json!({ "$ref": format!("#/$defs/{}", T::name()) })
    }

    fn request<R: Request + ToSchema>(&mut self, namespace: &mut Namespace)
    where
        R::Answer: ToSchema,
    {
        let (payload, answer) = (self.refer::<R>(), self.refer::<R::Answer>());
        namespace.requests.insert(R::NAME.into(), object([("payload", payload), ("answer", answer)]));
    }

    fn event<E: Named + ToSchema>(&mut self, namespace: &mut Namespace) {
        let payload = self.refer::<E>();
        namespace.events.insert(E::NAME.into(), payload);
    }

    /// What both namespaces have.
    fn of_both(&mut self, namespace: &mut Namespace) {
        self.request::<LeaveConversation>(namespace);
        self.request::<SendToConversation>(namespace);
        self.request::<StartTyping>(namespace);
        self.request::<StopTyping>(namespace);
        self.request::<ReadMessages>(namespace);
        self.event::<Connected>(namespace);
        self.event::<ConversationJoined>(namespace);
        self.event::<Message>(namespace);
        self.event::<StatusChange>(namespace);
        self.event::<UserTyping>(namespace);
        self.event::<ServerShutdown>(namespace);
        self.event::<Failure>(namespace);
    }
}

/// An object that has all of these.
fn object<const COUNT: usize>(fields: [(&str, Value); COUNT]) -> Value {
    let properties: Map<_, _> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    all_of(properties)
}

/// An object that has all of these, in whatever order they were collected.
fn all_of(properties: Map<String, Value>) -> Value {
    let mut required: Vec<_> = properties.keys().cloned().collect();
    required.sort_unstable();
    let mut schema = json!({ "type": "object", "required": required });
    schema["properties"] = properties.into();
    schema
}

impl Namespace {
    fn into_schema(self) -> Value {
        let Self { auth, requests, events } = self;
        object([("auth", auth), ("requests", all_of(requests)), ("events", all_of(events))])
    }
}

/// The schema of all requests, answers and events, by namespace.
///
/// # Errors
/// Never, for what is known: if a schema is no JSON.
pub fn socket() -> serde_json::Result<Value> {
    let mut definitions = Definitions::default();
    let mut client = Namespace { auth: definitions.refer::<DeviceAuth>(), ..Namespace::default() };
    definitions.of_both(&mut client);
    definitions.request::<JoinConversation>(&mut client);
    definitions.request::<ReportDelivery>(&mut client);
    definitions.request::<crate::rest::Identify>(&mut client);
    definitions.event::<event::ConversationOpened>(&mut client);
    definitions.event::<AgentTyping>(&mut client);
    let mut admin = Namespace { auth: definitions.refer::<AgentAuth>(), ..Namespace::default() };
    definitions.of_both(&mut admin);
    definitions.request::<JoinAsAgent>(&mut admin);
    definitions.event::<Activity>(&mut admin);
    definitions.request::<SubscribeToApp>(&mut admin);
    definitions.request::<ListSessions>(&mut admin);
    definitions.request::<ViewConversation>(&mut admin);
    definitions.event::<AgentViewing>(&mut admin);
    definitions.event::<crate::rest::InboxCounts>(&mut admin);
    definitions.event::<Session>(&mut admin);
    definitions.event::<SessionDisconnect>(&mut admin);
    definitions.event::<PresenceChange>(&mut admin);
    let updated = definitions.refer::<ConversationUpdated>();
    admin.events.insert(event::ConversationUpdated::NAME.into(), updated);
    let mut defs = Map::new();
    for (name, schema) in definitions.0 {
        defs.insert(name, serde_json::to_value(schema)?);
    }
    let mut schema = object([
        (event::CLIENT_NAMESPACE, client.into_schema()),
        (event::ADMIN_NAMESPACE, admin.into_schema()),
    ]);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "ReplyHQ on a socket".into();
    schema["description"] =
        "By namespace: what is shown to connect, what may be asked and what the ack answers, and what is told. A failed ack \
         is `{ success: false, error, message }`."
            .into();
    schema["$defs"] = defs.into();
    // The types are written for OpenAPI, which keeps them elsewhere.
    let text = schema.to_string().replace("#/components/schemas/", "#/$defs/");
    serde_json::from_str(&text)
}
