// Written by `cargo xtask web-types` from docs/openapi.json and docs/socket.schema.json; a test compares.

/** One thing that happened in a conversation beside its messages: a note, or what somebody did. */
export type Activity = {
  /** When the server stored it. */
  at: string;
  /** A note's text; the tag that was put on or taken off; what was written about the person. */
  body?: string | null;
  by?: Actor | null;
  /** The conversation it belongs to. */
  conversation_id: ConversationId;
  /** What happened. There may be more kinds one day: show what is not known as nothing. */
  kind: string;
  local_id?: LocalId | null;
  /** Its place among the conversation's activity: 1, 2, 3 … without holes, in commit order. It has nothing to do with `seq`. */
  n: number;
  to?: Actor | null;
};

/** One thing that happened in a conversation. */
export type ActivityAnswer = {
  /** It. */
  activity: Activity;
};

/** What happened in a conversation beside its messages. */
export type ActivityList = {
  /** Ascending by `n`. */
  activity: Activity[];
  /** Whether there is more in the direction asked for. */
  has_more: boolean;
  /** The newest one's `n`; 0 while there is none. */
  last_activity: number;
};

/** Somebody who takes part in an activity, as they were called then. */
export type Actor = {
  /** The agent, the program's token, or the person or device. */
  id: SenderId;
  /** Their name then, if it was known. */
  name?: string | null;
};

/** `POST /v1/admin/canned-replies` */
export type AddCannedReply = {
  /** Its short name: 1 to 32 letters, digits, `-` and `_`; kept in lower case. */
  shortcut: string;
  /** The text, with `{{person.name|there}}`, `{{person.email}}` and `{{agent.name}}` for what they say. */
  text: string;
};

/** `POST /v1/admin/app/identity-keys` */
export type AddIdentityKey = {
  /** A public key as PEM: EC on P-256, Ed25519 or RSA. Without it, a secret for HS256 is made. */
  public_key?: string | null;
};

/** `POST /v1/admin/conversations/{id}/notes` */
export type AddNote = {
  /** The text, 1 to 5,000 characters. No device ever gets it. */
  body: string;
  /** The writer's own name for the note, 1 to 64 characters, unique among the conversation's notes. A header `Idempotency-Key` may stand in for it. */
  local_id?: string | null;
};

/** `POST /v1/admin/tags` */
export type AddTag = {
  /** The tag, 1 to 32 characters; kept in lower case. */
  tag: string;
};

/** `POST /v1/admin/tokens` */
export type AddToken = {
  /** For how many days it is good; for ever if nothing is said. */
  expires_in_days?: number | null;
  /** Its name, which people see as `sender_name` where no agent answers for it. */
  name: string;
  /** The agent who answers for it: it acts as them, and ends with them. */
  owner_id?: string | null;
  /** What it may do, at most what whoever asks may; all but `manage` if nothing is said. */
  permissions?: Permission[] | null;
};

/** A person who answers, in one app. */
export type Agent = {
  /** Whether they take part just now. */
  availability: Availability;
  /** When they were invited. */
  created_at: string;
  /** Their e-mail address: what they sign in with. */
  email: string;
  /** Their id. `agt_…` */
  id: AgentId;
  /** When they last did anything, to the minute. */
  last_seen_at?: string | null;
  /** Their name, which people see. */
  name: string;
  /** What they may do. */
  role: Role;
  /** Whether they are here. */
  status: AgentStatus;
};

/** The answer that carries one agent. */
export type AgentAnswer = {
  /** The agent. */
  agent: Agent;
};

/** What an agent shows when they connect to `/admin`. */
export type AgentAuth = {
  /** A token of that app. */
  admin_token: string;
  /** The app. */
  app_id: string;
};

/** An agent: a person who answers. `agt_…` */
export type AgentId = string;

/** Whether an agent is here. */
export type AgentStatus = "invited" | "active" | "disabled";

/** An agent types, or stopped. */
export type AgentTyping = {
  /** Where. */
  conversation_id: ConversationId;
  /** Whether it goes on. */
  is_typing: boolean;
};

/** Which agents look at a conversation, whoever of them hears it among them. Comes to those who have joined it, whenever that changes, and with the join if anybody looks at it. */
export type AgentViewing = {
  /** In the order of their ids; each once, on however many screens. */
  agents: ViewingAgent[];
  /** The conversation. */
  conversation_id: ConversationId;
};

/** An app's agents. */
export type Agents = {
  /** All of them, by e-mail address. */
  agents: Colleague[];
};

/** An app, as its agents see it who manage it. */
export type AppAnswer = {
  /** The app. */
  app: AppInfo;
};

/** An app: a tenant. `app_…` */
export type AppId = string;

/** An app, as its agents see it who manage it. */
export type AppInfo = {
  /** The origins of the pages that may use its key; none is any. */
  allowed_origins: string[];
  /** When it was made. */
  created_at: string;
  /** Its id. */
  id: AppId;
  /** Whose word it takes for who somebody is: `claimed` is that of the program at the device, `verified` only that of the app's own backend, by a token. */
  identity: string;
  /** By what its backend proves who its people are. */
  identity_keys: IdentityKeyInfo[];
  /** Its name. */
  name: string;
  old_key?: OldKeyInfo | null;
  /** Whether a device has to show a secret of its own. */
  require_device_secret: boolean;
};

/** One administrative act: who did what, on what, when. Never changed nor removed once written. */
export type AuditEntry = {
  /** What, as `noun.verb`: `app.create`, `token.revoke`, `conversation.resolve` … */
  action: string;
  /** Who: `cli` for the command line, else the admin token's id. */
  actor: string;
  /** When. */
  at: string;
  /** More about it, as a JSON object; never a secret. */
  details?: Record<string, unknown> | null;
  /** Its number; rises by time. */
  id: number;
  /** On what: the id of the thing. */
  target: string;
};

/** A page of the audit log. */
export type AuditPage = {
  /** Newest first. */
  entries: AuditEntry[];
  /** Whether there are older ones; give the last one's `id` as `before`. */
  has_more: boolean;
};

/** Whether an agent takes part just now. */
export type Availability = "online" | "away";

/** Whether somebody is blocked. */
export type BlockedAnswer = {
  /** Whether they are blocked. */
  blocked: boolean;
  device_id?: DeviceId | null;
  user_id?: UserId | null;
};

/** A text that agents begin an answer with. */
export type CannedReply = {
  /** When it was made. */
  created_at: string;
  /** Its id. `can_…` */
  id: CannedReplyId;
  /** Its short name, unique in the app: 1 to 32 letters, digits, `-` and `_`, in lower case. */
  shortcut: string;
  /** The text, 1 to 5,000 characters. `{{person.name}}`, `{{person.email}}` and `{{agent.name}}` stand for what they say; `{{person.name|there}}` for `there`, where the name is not known. Whoever inserts it fills them in. */
  text: string;
  /** When it was last changed. */
  updated_at: string;
};

/** A canned reply. */
export type CannedReplyAnswer = {
  /** It. */
  canned_reply: CannedReply;
};

/** A canned reply. `can_…` */
export type CannedReplyId = string;

/** Canned replies of an app. */
export type CannedReplyPage = {
  /** Ascending by their shortcuts. */
  canned_replies: CannedReply[];
  /** Whether there are more behind the last one. */
  has_more: boolean;
};

/** `PATCH /v1/admin/agents/{agent_id}`: what is to be other. */
export type ChangeAgent = {
  /** Their name. */
  name?: string | null;
  role?: Role | null;
  status?: AgentStatus | null;
};

/** `PATCH /v1/admin/app`: what is to be other. */
export type ChangeApp = {
  /** The origins of the pages that may use its key; none is any. */
  allowed_origins?: string[] | null;
  /** `claimed` or `verified`. */
  identity?: string | null;
  /** Its name. */
  name?: string | null;
  /** Whether a device has to show a secret of its own. */
  require_device_secret?: boolean | null;
};

/** `PATCH /v1/admin/devices/{device_id}`, `PATCH /v1/admin/people/{user_id}` */
export type ChangeBlocked = {
  /** Whether they are to be blocked. */
  blocked: boolean;
};

/** `PATCH /v1/admin/canned-replies/{canned_reply_id}` */
export type ChangeCannedReply = {
  /** Another short name. */
  shortcut?: string | null;
  /** Another text. */
  text?: string | null;
};

/** `PATCH /v1/admin/conversations/{id}`: at least one of these. What is more than one is done in this order: whom it is with, its status, its tags, its mark; what can't be done ends it there. */
export type ChangeConversation = {
  /** Tags to put on, each 1 to 32 characters, kept in lower case; a conversation has at most 20. Those that the app's list does not have go on it. */
  add_tags?: string[];
  /** The agent whom it is to be with, who may answer; `null` is nobody. */
  assignee_id?: string | null;
  /** Whom it has to be with still, or else nothing changes and the answer is `ASSIGNEE_CHANGED`; `null` is nobody. Of two who take a conversation that is with nobody, one gets it. */
  if_assignee_id?: string | null;
  /** Whether the team is to look at it again. Who reads what is new in it or answers ends that, too; the person sees nothing of it. */
  marked_unread?: boolean | null;
  /** Tags to take off. */
  remove_tags?: string[];
  status?: ConversationStatus | null;
};

/** `PATCH /v1/admin/me`: what is to be other. */
export type ChangeMe = {
  availability?: Availability | null;
  /** The present one, where another is given. A wrong one is `VALIDATION_ERROR`, and a wrong try as at signing in. */
  current_password?: string | null;
  /** Their name. */
  name?: string | null;
  /** Another password, at least 10 characters. Their other sessions end. */
  password?: string | null;
};

/** Why something was refused. One list for REST, socket events and acks. */
export type Code = "MISSING_PARAMS" | "INVALID_CREDENTIALS" | "AUTH_ERROR" | "FORBIDDEN" | "CONVERSATION_NOT_FOUND" | "MESSAGE_NOT_FOUND" | "ACTIVITY_NOT_FOUND" | "VALIDATION_ERROR" | "MESSAGE_TOO_LONG" | "LOCAL_ID_CONFLICT" | "RATE_LIMITED" | "NOT_FOUND" | "IDENTITY_CHANGED" | "IDENTITY_REQUIRED" | "VERIFICATION_REQUIRED" | "BLOCKED" | "ASSIGNEE_CHANGED" | "HISTORY_CHANGED" | "TOO_MANY_CONNECTIONS" | "SHUTTING_DOWN" | "SERVER_ERROR";

/** An agent as the others of their app see them: enough to know whom a conversation is with, and to give it to them. */
export type Colleague = {
  /** Whether they take part just now. */
  availability: Availability;
  /** When they were invited. */
  created_at?: string | null;
  /** Their e-mail address: what they sign in with. Only for who has `manage`, as all below. */
  email?: string | null;
  /** Their id. `agt_…` */
  id: AgentId;
  /** When they last did anything, to the minute. */
  last_seen_at?: string | null;
  /** Their name, which people see. */
  name: string;
  /** What they may do. */
  role: Role;
  /** Whether they are here. */
  status: AgentStatus;
};

/** First event of a connection. */
export type Connected = {
  /** The connection's id. */
  connection_id: ConnectionId;
  /** The server's clock; for display only. */
  server_time: string;
};

/** One connection of a device or an agent. `conn_…` */
export type ConnectionId = string;

/** A conversation, as its device sees it. */
export type Conversation = {
  /** The app it belongs to. */
  app_id: AppId;
  /** When it was opened. */
  created_at: string;
  /** The device that opened it. */
  device_id: DeviceId;
  /** Its id. */
  id: ConversationId;
  last_message?: Message | null;
  /** The newest message's `seq`; 0 while there is none. */
  last_seq: number;
  /** Open, or done with. */
  status: ConversationStatus;
  /** Agents' messages that the person has not read, among the newest 1,000. Only in answers to the device by REST. */
  unread_count?: number | null;
  /** When its last message came or its status changed. */
  updated_at: string;
  user_id?: UserId | null;
};

/** The answer that carries one conversation. */
export type ConversationAnswer = {
  /** The conversation. */
  conversation: Conversation;
};

/** A conversation. `conv_…` */
export type ConversationId = string;

/** The connection gets this conversation's events from here on. */
export type ConversationJoined = {
  /** The conversation. */
  conversation_id: ConversationId;
  last_message_id?: MessageId | null;
  /** That message's `seq`; every later message comes as `message:new`. */
  last_seq: number;
};

/** The person who is proven at this device has a conversation that they did not have: opened at another of their devices, or become theirs there. It is not joined by that. */
export type ConversationOpened = {
  /** The conversation. */
  conversation_id: ConversationId;
};

/** A page of a device's conversations. */
export type ConversationPage = {
  /** Newest activity first. */
  conversations: Conversation[];
  /** Whether there are more behind the last one. */
  has_more: boolean;
};

/** Whether a conversation goes on. */
export type ConversationStatus = "open" | "resolved";

/** As [`event::ConversationUpdated`] travels: that one borrows, so that nothing is cloned for a feed. */
export type ConversationUpdated = {
  /** The conversation as it is now, without its newest message, which stands beside it. */
  conversation: InboxConversation;
  last_message: Message | null;
};

/** `PATCH /v1/admin/conversations/{id}/person` */
export type DescribePerson = {
  /** What the team knows about the person, at most 2,000 characters, in the place of what stood there; empty is nothing. */
  about: string;
};

/** What a device shows when it connects to `/client`. */
export type DeviceAuth = {
  /** The app's key. */
  api_key: string;
  /** The app. */
  app_id: string;
  /** The device's own name, 1 to 128 characters. */
  device_id: string;
  /** The device's own secret, 32 to 128 characters: whoever shows one first owns the device's name from then on. */
  device_secret?: string | null;
  /** Proof of who is at the device, as `identify` takes it. */
  user_token?: string | null;
};

/** A device of an app, named by the app itself. */
export type DeviceId = string;

/** The answer to a receipt. */
export type Done = {
  /** Always true; a failure has the shape of an error. */
  success: boolean;
};

/** The one shape of an error: REST bodies and socket `error` events. */
export type Failure = {
  /** For programs. */
  code: Code;
  /** For people; may change. */
  message: string;
  /** The request's name in the server's log. */
  request_id?: string | null;
  /** With `RATE_LIMITED`: how many milliseconds to wait. */
  retry_after_ms?: number | null;
};

/** A message that was found. */
export type FoundMessage = {
  /** When. */
  created_at: string;
  /** Its id: `after` or `before` of a page of the conversation's messages. */
  id: MessageId;
  /** Which side wrote it. */
  sender: Sender;
  /** Who wrote it, by name. */
  sender_name?: string | null;
  /** Its place in the conversation. */
  seq: number;
};

/** A note that was found. */
export type FoundNote = {
  /** When. */
  at: string;
  by?: Actor | null;
  /** Its place among the conversation's activity: a page of that begins or ends at it. */
  n: number;
};

/** `POST /v1/identify`, and the event `identify`: either a `user` or a `token`. */
export type Identify = {
  /** Proof of who uses the device: a JWT that the app's own backend has signed, with `sub`, `exp`, and perhaps `name`, `email` and `attributes`. */
  token?: string | null;
  user?: User | null;
};

/** A key that was added. */
export type IdentityKeyAdded = {
  /** What it is for. */
  algorithm: string;
  /** Its id. */
  id: IdentityKeyId;
  /** The secret, if one was made: it is not to be had again. */
  secret?: string | null;
};

/** A key by which an app's backend proves who its people are. `idk_…` */
export type IdentityKeyId = string;

/** A key by which an app's own backend proves who its people are, without the key. */
export type IdentityKeyInfo = {
  /** `HS256`, `ES256`, `EdDSA` or `RS256`. */
  algorithm: string;
  /** When it was made or uploaded. */
  created_at: string;
  /** Its id: what a token may name as `kid`. */
  id: IdentityKeyId;
  /** When it was retired: it proves nothing since. */
  retired_at?: string | null;
};

/** The keys of an app. */
export type IdentityKeys = {
  /** All of them, in the order in which they came. */
  keys: IdentityKeyInfo[];
};

/** A conversation, as an agent's inbox shows it. */
export type InboxConversation = Conversation & {
  assignee_id?: AgentId | null;
  /** When an agent first answered the user. */
  first_reply_at?: string | null;
  /** Whether an agent has said that it is to be looked at again. Left out where it is not. */
  is_marked_unread?: boolean;
  /** Whether the device is connected now. Absent in events, which tell it by `presence:change`. */
  is_online?: boolean | null;
  /** Whether the person was proven to be who they say they are when it became theirs. Left out where they were not. */
  is_verified?: boolean;
  /** What the team sorts it by, in alphabetical order. */
  tags?: string[];
  /** The user's messages that no agent has read. */
  unread_count: number;
  /** The person's name, if it was told. */
  user_name?: string | null;
  /** When the first message of the user was stored that no agent has answered; absent while nobody waits. */
  waiting_since?: string | null;
};

/** The answer that carries one conversation, for agents. */
export type InboxConversationAnswer = {
  /** The conversation. */
  conversation: InboxConversation;
};

/** How many open conversations each view of an inbox has. Each number is at most 1,000, and means so many or more then. */
export type InboxCounts = {
  /** Those that are with the agent who asks; absent for a program that nobody answers for. */
  mine?: number | null;
  /** Those of them with something that no agent has read, or that are marked as unread. */
  mine_unread?: number | null;
  /** All of them. */
  open: number;
  /** Those that are with nobody. */
  unassigned: number;
  /** Those in which somebody waits for an answer. */
  waiting: number;
};

/** A page of an agent's inbox. */
export type InboxPage = {
  /** Newest activity first. */
  conversations: InboxConversation[];
  /** Whether there are more behind the last one. */
  has_more: boolean;
  /** What to give as `after` for the next page. */
  next_cursor?: string | null;
};

/** `POST /v1/admin/agents` */
export type InviteAgent = {
  /** Their e-mail address. */
  email: string;
  /** Their name, which people see. */
  name: string;
  role: Role | null;
};

/** As [`JoinConversation`], on `/admin`: what happened beside the messages comes too. */
export type JoinAsAgent = {
  /** The last message that the client has, or `""` for none: the answer then holds the first page of what followed. */
  after?: string | null;
  /** The `n` of the last activity that the client has, or 0 for none: the answer then holds the first page of what followed. */
  after_activity?: number | null;
  /** The conversation. */
  conversation_id: string;
};

/** Asks for a conversation's events from here on. */
export type JoinConversation = {
  /** The last message that the client has, or `""` for none: the answer then holds the first page of what followed. */
  after?: string | null;
  /** The conversation. */
  conversation_id: string;
};

/** As [`JoinedConversation`], on `/admin`. */
export type JoinedAsAgent = JoinedConversation & {
  /** With `after_activity`: what followed it, ascending by `n`. */
  activity?: Activity[] | null;
  /** With `after_activity`: whether there is more behind the last one, up to `last_activity`. */
  has_more_activity?: boolean | null;
  /** The newest activity's `n`; everything later comes as `activity:new`. */
  last_activity: number;
};

/** Where a conversation stands that was joined. */
export type JoinedConversation = {
  /** With `after`: whether there are more messages behind the last one, up to `last_seq`. */
  has_more?: boolean | null;
  last_message_id?: MessageId | null;
  /** That message's `seq`; every later message comes as `message:new`. */
  last_seq: number;
  /** With `after`: what followed it, ascending by `seq`. */
  messages?: Message[] | null;
  receipts?: Receipts | null;
};

/** The app's new key, this once. */
export type KeyRotated = {
  /** The key. */
  api_key: string;
  /** Until when the one before is good, if it was kept. */
  old_key_until?: string | null;
};

/** A tag of an app's list. */
export type KnownTag = {
  /** How many open conversations have it; 1,000 is so many or more. */
  open: number;
  /** The tag. */
  tag: string;
};

/** Asks for no more of a conversation's events. */
export type LeaveConversation = {
  /** The conversation. */
  conversation_id: string;
};

/** An agent, and how they come in. */
export type LetIn = {
  /** The agent. */
  agent: Agent;
  /** The code: good once, for 72 hours as an invitation and 24 for a new password, and not to be had again. */
  code: string;
  /** A link with it, to be sent to them. */
  link: string;
};

/** Asks who is connected, on all nodes. */
export type ListSessions = {
  /** The last `connection_id` of the page before; empty is none. */
  after?: string | null;
  /** The agent's own app. */
  app_id: string;
  /** How many, at most 1,000, which is also what is given if nothing is said. */
  limit?: number | null;
};

/** A message as its sender names it: with the conversation, the key under which it is stored once. */
export type LocalId = string;

/** Who is asking. */
export type Me = {
  agent?: Agent | null;
  /** Their app. */
  app_id: AppId;
  /** When the token ends; for a session, if it is not used before. */
  expires_at?: string | null;
  /** The name that people see. */
  name: string;
  /** What they may do. */
  permissions: Permission[];
};

/** One message of a conversation. */
export type Message = {
  /** The text. Never empty as it is stored: empty is what a later server has sent in its place. */
  body: string;
  /** The conversation it belongs to. */
  conversation_id: ConversationId;
  /** When the server stored it. */
  created_at: string;
  /** The server's name for it. */
  id: MessageId;
  /** The sender's name for it, unique in the conversation. */
  local_id: LocalId;
  /** Who wrote it; of somebody who is not known yet, `system`. */
  sender: Sender;
  sender_id?: SenderId | null;
  /** The agent's name, or the person's if the app told it. */
  sender_name?: string | null;
  /** Its place in the conversation: 1, 2, 3 … without holes, in commit order. */
  seq: number;
  /** How far it got on the other side; by a word that is not known yet, no further than the server. */
  status: MessageStatus;
};

/** The answer that carries one message. */
export type MessageAnswer = {
  /** The stored message. */
  message: Message;
};

/** A message. `msg_…`; holds its conversation and `seq`, so that a cursor needs no index of its own. */
export type MessageId = string;

/** A page of messages. */
export type MessagePage = {
  /** Whether there are more in the direction asked for. */
  has_more: boolean;
  /** Ascending by `seq`. */
  messages: Message[];
};

/** How far a message got; it only ever rises. */
export type MessageStatus = "sent" | "delivered" | "read";

/** Nothing but success. */
export type Nothing = Record<string, unknown>;

/** A key that is good for a while beside the one that took its place. */
export type OldKeyInfo = {
  /** When it was last shown, to the minute; absent if it never was since there is another one. */
  last_used_at?: string | null;
  /** Until when. */
  until: string;
};

/** `POST /v1/conversations` */
export type OpenConversation = {
  /** What the app wants agents to know of the device, at most 8 KiB of JSON. */
  device_context?: Record<string, unknown> | null;
  user?: User | null;
};

/** One thing that an admin token may do. */
export type Permission = "view_sessions" | "view_presence" | "view_conversations" | "send_messages" | "manage";

/** Who writes in a conversation, as agents see it. */
export type PersonAnswer = {
  /** What the team has written about them. */
  about?: string | null;
  /** What else they have written, the newest first; at most 20. */
  conversations: InboxConversation[];
  /** The device that opened the conversation, and after it those at which the person is verified; at most 100. */
  devices: PersonsDevice[];
  person?: PersonInfo | null;
};

/** What is known of a person. */
export type PersonInfo = {
  /** What else the app told of them. */
  attributes?: Record<string, unknown> | null;
  /** Their e-mail address. */
  email?: string | null;
  /** The app's own id for the person. */
  id: UserId;
  /** Whether the agents have blocked the person. */
  is_blocked: boolean;
  /** Whether the app's backend has proved it. Else it is only what a device says. */
  is_verified: boolean;
  /** Their name. */
  name?: string | null;
};

/** A device of a person. */
export type PersonsDevice = {
  /** By how many connections. */
  active_connections: number;
  /** What its app told of it. */
  device_context?: Record<string, unknown> | null;
  /** The device. */
  device_id: DeviceId;
  /** Whether the agents have blocked the device. */
  is_blocked: boolean;
  /** Whether it is connected now. */
  is_online: boolean;
  /** Whether the person is verified there now. */
  is_verified: boolean;
  /** When it was last connected, if that is known. */
  last_seen_at?: string | null;
};

/** Whether a device is online. */
export type Presence = {
  /** How many. */
  active_connections: number;
  /** The device. */
  device_id: DeviceId;
  /** Whether it has at least one connection. */
  is_online: boolean;
};

/** A device came online, or its last connection is gone. */
export type PresenceChange = {
  /** How many. */
  active_connections: number;
  /** The app. */
  app_id: AppId;
  /** The device. */
  device_id: DeviceId;
  /** Whether it has a connection. */
  is_online: boolean;
  user_info?: UserInfo | null;
};

/** This side has read the other side's messages up to one. */
export type ReadMessages = {
  /** The conversation. */
  conversation_id: string;
  /** The last message that was read. */
  up_to_message_id: string;
};

/** A cumulative receipt. */
export type Receipt = {
  /** The last message that it is about. */
  up_to_message_id: string;
};

/** How far each side has got in a conversation: what a client that was away has missed of `message:status`. Part of the answer to a join that asks for messages. */
export type Receipts = {
  /** Up to where an agent's client has received the person's messages. */
  agent_delivered_seq: number;
  /** Up to where an agent has read them. */
  agent_read_seq: number;
  /** Up to where the device has received the agents' messages. */
  user_delivered_seq: number;
  /** Up to where the person has read them. */
  user_read_seq: number;
};

/** The device has received up to a message: `message_id` alone, or `conversation_id` and `up_to_message_id`. */
export type ReportDelivery = {
  /** The conversation. */
  conversation_id?: string | null;
  /** The message. */
  message_id?: string | null;
  /** The last message that was received. */
  up_to_message_id?: string | null;
};

/** What an agent may do in their app: a set of permissions with a name. */
export type Role = "viewer" | "agent" | "admin";

/** `POST /v1/admin/app/key` */
export type RotateKey = {
  /** For how many days the present key is good beside the new one; it is void at once if nothing is said. */
  keep_old_for_days?: number | null;
};

/** What was found. */
export type SearchKind = "message" | "note" | "person";

/** What a search has found, a page of it. */
export type SearchPage = {
  /** Whether there may be more behind the last one. */
  has_more: boolean;
  /** False while the index is made of what was there before it: until then not everything is found. */
  is_complete: boolean;
  /** What to give as `after` for the next page. A page may have few results, or none, and there are more nevertheless. */
  next_cursor?: string | null;
  /** Newest first. */
  results: SearchResult[];
};

/** Something that was found. */
export type SearchResult = {
  /** Where it is, as an inbox shows it. */
  conversation: InboxConversation;
  /** What it is. There may be more kinds in time. */
  kind: SearchKind;
  message?: FoundMessage | null;
  note?: FoundNote | null;
  /** The text around what was found. */
  snippet: Snippet;
};

/** A message to send. `Idempotency-Key` serves where `local_id` is missing. */
export type SendMessage = {
  /** The text, 1 to 5,000 characters. */
  body: string;
  /** The sender's name for the message, 1 to 64 characters; a retry with the same one stores nothing new. */
  local_id?: string | null;
};

/** Sends a message; a retry with the same `local_id` is answered with the stored one. */
export type SendToConversation = {
  /** The text, 1 to 5,000 characters. */
  body: string;
  /** Where. */
  conversation_id: string;
  /** The sender's own name for the message, 1 to 64 characters, unique in the conversation. */
  local_id: string;
};

/** Who wrote a message. */
export type Sender = "user" | "agent" | "system";

/** Who wrote a message on the agents' side: an agent, or a program's token. `agt_…`, `tok_…` */
export type SenderId = string;

/** The message as it is stored. */
export type SentMessage = {
  /** The message. */
  message: Message;
};

/** The server is leaving. */
export type ServerShutdown = {
  /** For people. */
  message: string;
  /** How long to wait before connecting again; differs per connection. */
  reconnect_delay_ms: number;
};

/** One live connection of a device, as agents see it. */
export type Session = {
  /** The app. */
  app_id: AppId;
  /** Since when it is connected. */
  connected_at: string;
  /** The connection. */
  connection_id: ConnectionId;
  /** The device. */
  device_id: DeviceId;
  user_info?: UserInfo | null;
};

/** A device's connection is gone. */
export type SessionDisconnect = {
  /** The app. */
  app_id: AppId;
  /** The connection. */
  connection_id: ConnectionId;
  /** The device. */
  device_id: DeviceId;
  /** Why, in Socket.IO's words. */
  reason: string;
};

/** Live connections of the app. */
export type SessionPage = {
  /** Whether there are more behind the last one. */
  has_more: boolean;
  /** Ordered by `connection_id`, which rises by time of connecting. */
  sessions: Session[];
};

/** The two sides of a conversation. A receipt of one side speaks of the other side's messages. */
export type Side = "user" | "agent";

/** `POST /v1/auth/sign-in` */
export type SignIn = {
  /** The app, for who is an agent of several. */
  app_id?: string | null;
  /** The agent's e-mail address. */
  email: string;
  /** Their password. */
  password: string;
  /** Whether they stay signed in: for 30 days from the last use, and not 12 hours. */
  stay?: boolean;
};

/** A session of an agent. */
export type SignInInfo = {
  /** When they signed in. */
  created_at: string;
  /** When it ends, if it is not used before. */
  expires_at: string;
  /** Its id. */
  id: TokenId;
  /** Whether it is the one that asks. */
  is_current: boolean;
  /** When it was last used, to the minute. */
  last_used_at: string;
  /** By what program, in that one's own words. */
  user_agent?: string | null;
};

/** The sessions of an agent. */
export type SignIns = {
  /** Those that are good, the newest first. */
  sign_ins: SignInInfo[];
};

/** An agent has signed in. */
export type SignedIn = {
  /** The session's token: what `Authorization: Bearer` and the socket take. */
  admin_token: string;
  /** The agent. */
  agent: Agent;
  /** After a first run: the key of the app that was made, which is not to be had again. */
  api_key?: string | null;
  /** Their app. */
  app_id: AppId;
  /** When it ends, if it is not used before. */
  expires_at: string;
};

/** A part of a text, and where in it is what was looked for. */
export type Snippet = {
  /** What matched, in order, none touching another. */
  ranges: SnippetRange[];
  /** The text, on one line. Where more of it comes before or behind, there is an ellipsis. No HTML: show it as text. */
  text: string;
};

/** A part of a snippet's text, in Unicode code points: not in bytes, and not in the UTF-16 units of JavaScript's `length`. */
export type SnippetRange = {
  /** Behind its last one. */
  end: number;
  /** Before its first one. */
  start: number;
};

/** Somebody types in a conversation that this connection has joined. To be repeated within 6 s as long as they do. */
export type StartTyping = {
  /** Where. */
  conversation_id: string;
};

/** How many are connected, on all nodes. */
export type Stats = {
  /** Live connections of the app's devices. */
  connections: number;
  /** Devices of the app with at least one. */
  devices_online: number;
  /** Servers that share the work. */
  nodes: number;
};

/** Messages up to `up_to_seq` that the other side than `by` wrote have this status now. */
export type StatusChange = {
  /** When. */
  at: string;
  /** Who received or read them. */
  by: Side;
  /** The conversation. */
  conversation_id: ConversationId;
  /** Delivered or read. */
  status: MessageStatus;
  /** The last message that it is about. */
  up_to_seq: number;
};

/** Somebody has stopped typing. */
export type StopTyping = {
  /** Where. */
  conversation_id: string;
};

/** Asks for the feed of the agent's own app, which is also joined by connecting. */
export type SubscribeToApp = {
  /** The app. */
  app_id: string;
};

/** An app's tags. */
export type TagList = {
  /** In alphabetical order; at most 500. */
  tags: KnownTag[];
};

/** `POST /v1/device-context` */
export type TellContext = {
  /** What the app wants agents to know of the device, at most 8 KiB of JSON; takes the place of what was told before. */
  device_context: Record<string, unknown>;
};

/** A token that was made, with its secret, which is not to be had again. */
export type TokenAdded = {
  /** What the program shows. */
  admin_token: string;
  /** The token. */
  token: TokenInfo;
};

/** An admin token's name; not its secret. `tok_…` */
export type TokenId = string;

/** A program's token, without its secret. */
export type TokenInfo = {
  /** When it was made. */
  created_at: string;
  /** Until when it is good; absent is for ever. */
  expires_at?: string | null;
  /** Its id. */
  id: TokenId;
  /** When it was last used, to the minute. */
  last_used_at?: string | null;
  /** Its name. */
  name: string;
  owner_id?: AgentId | null;
  /** What it may do now: with an owner, no more than they. */
  permissions: Permission[];
};

/** The tokens of an app's programs. */
export type TokenList = {
  /** Those that are good. */
  tokens: TokenInfo[];
};

/** What a badge shows. */
export type Unread = {
  /** Agents' messages that the person has not read, in all conversations that the device shows, or of a verified person in the newest 200; of each, the newest 1,000 messages are looked at. */
  unread_count: number;
};

/** `POST /v1/auth/code`: an invitation, a link for a new password or of the demo, or that of the first run. */
export type UseCode = {
  /** For the first run: the first app's name. */
  app_name?: string | null;
  /** The code. */
  code: string;
  /** For the first run: the first admin's e-mail address. */
  email?: string | null;
  /** The agent's name, if it is another than in the invitation. Needed for the first run. */
  name?: string | null;
  /** The password that the agent has from now on, at least 10 characters. Needed but for the demo. */
  password?: string | null;
  /** Whether they stay signed in: for 30 days from the last use, and not 12 hours. */
  stay?: boolean;
};

/** Who uses a device, as the app tells it. */
export type User = {
  /** Anything else, at most 8 KiB of JSON. */
  attributes?: Record<string, unknown> | null;
  /** Shown to agents. */
  email?: string | null;
  /** The app's own id for the person. */
  id: UserId;
  /** Shown to agents. */
  name?: string | null;
};

/** A person, named by the app itself. */
export type UserId = string;

/** Who is at a device. */
export type UserInfo = {
  /** The person's name. */
  name?: string | null;
  /** The app's own id for the person. */
  user_id: UserId;
};

/** The person at a device types, or stopped. */
export type UserTyping = {
  /** Where. */
  conversation_id: ConversationId;
  /** At which device. */
  device_id: DeviceId;
  /** Whether it goes on. */
  is_typing: boolean;
};

/** Says what the agent looks at, so that others who look at it too see that; one conversation at a time, which this connection has joined. Ends with the connection. */
export type ViewConversation = {
  /** The conversation; absent or empty is none. */
  conversation_id?: string | null;
};

/** An agent who looks at a conversation. */
export type ViewingAgent = {
  /** The agent. */
  id: AgentId;
  /** Whether they are writing there. */
  is_typing: boolean;
  /** Their name. */
  name: string;
};

export type ClientRequests = {
  "conversation:join": {
    answer: JoinedConversation;
    payload: JoinConversation;
  };
  "conversation:leave": {
    answer: Nothing;
    payload: LeaveConversation;
  };
  "delivery:receipt": {
    answer: Nothing;
    payload: ReportDelivery;
  };
  identify: {
    answer: Nothing;
    payload: Identify;
  };
  "message:read": {
    answer: Nothing;
    payload: ReadMessages;
  };
  "message:send": {
    answer: SentMessage;
    payload: SendToConversation;
  };
  "typing:start": {
    answer: Nothing;
    payload: StartTyping;
  };
  "typing:stop": {
    answer: Nothing;
    payload: StopTyping;
  };
};

export type ClientEvents = {
  "agent:typing": AgentTyping;
  connected: Connected;
  "conversation:joined": ConversationJoined;
  "conversation:opened": ConversationOpened;
  error: Failure;
  "message:new": Message;
  "message:status": StatusChange;
  "server:shutdown": ServerShutdown;
  "user:typing": UserTyping;
};

export type AdminRequests = {
  "app:subscribe": {
    answer: Nothing;
    payload: SubscribeToApp;
  };
  "conversation:join": {
    answer: JoinedAsAgent;
    payload: JoinAsAgent;
  };
  "conversation:leave": {
    answer: Nothing;
    payload: LeaveConversation;
  };
  "conversation:viewing": {
    answer: Nothing;
    payload: ViewConversation;
  };
  "message:read": {
    answer: Nothing;
    payload: ReadMessages;
  };
  "message:send": {
    answer: SentMessage;
    payload: SendToConversation;
  };
  "sessions:list": {
    answer: SessionPage;
    payload: ListSessions;
  };
  "typing:start": {
    answer: Nothing;
    payload: StartTyping;
  };
  "typing:stop": {
    answer: Nothing;
    payload: StopTyping;
  };
};

export type AdminEvents = {
  "activity:new": Activity;
  "agent:viewing": AgentViewing;
  connected: Connected;
  "conversation:joined": ConversationJoined;
  "conversation:updated": ConversationUpdated;
  error: Failure;
  "inbox:counts": InboxCounts;
  "message:new": Message;
  "message:status": StatusChange;
  "presence:change": PresenceChange;
  "server:shutdown": ServerShutdown;
  "session:connect": Session;
  "session:disconnect": SessionDisconnect;
  "user:typing": UserTyping;
};

/** What each route takes and answers. */
export type Routes = {
  "GET /v1/admin/agents": { query: undefined; body: undefined; answer: Agents };
  "POST /v1/admin/agents": { query: undefined; body: InviteAgent; answer: LetIn };
  "PATCH /v1/admin/agents/{agent_id}": { query: undefined; body: ChangeAgent; answer: AgentAnswer };
  "POST /v1/admin/agents/{agent_id}/reset": { query: undefined; body: undefined; answer: LetIn };
  "GET /v1/admin/app": { query: undefined; body: undefined; answer: AppAnswer };
  "PATCH /v1/admin/app": { query: undefined; body: ChangeApp; answer: AppAnswer };
  "GET /v1/admin/app/identity-keys": { query: undefined; body: undefined; answer: IdentityKeys };
  "POST /v1/admin/app/identity-keys": { query: undefined; body: AddIdentityKey; answer: IdentityKeyAdded };
  "DELETE /v1/admin/app/identity-keys/{key_id}": { query: { end_bindings?: boolean }; body: undefined; answer: Done };
  "POST /v1/admin/app/key": { query: undefined; body: RotateKey; answer: KeyRotated };
  "DELETE /v1/admin/app/old-key": { query: undefined; body: undefined; answer: Done };
  "GET /v1/admin/audit": { query: { before?: number; limit?: number }; body: undefined; answer: AuditPage };
  "GET /v1/admin/canned-replies": { query: { after?: string; limit?: number }; body: undefined; answer: CannedReplyPage };
  "POST /v1/admin/canned-replies": { query: undefined; body: AddCannedReply; answer: CannedReplyAnswer };
  "DELETE /v1/admin/canned-replies/{canned_reply_id}": { query: undefined; body: undefined; answer: Done };
  "PATCH /v1/admin/canned-replies/{canned_reply_id}": { query: undefined; body: ChangeCannedReply; answer: CannedReplyAnswer };
  "GET /v1/admin/conversations": { query: { view?: string; status?: ConversationStatus; tag?: string; after?: string; limit?: number }; body: undefined; answer: InboxPage };
  "GET /v1/admin/conversations/counts": { query: undefined; body: undefined; answer: InboxCounts };
  "GET /v1/admin/conversations/{id}": { query: undefined; body: undefined; answer: InboxConversationAnswer };
  "PATCH /v1/admin/conversations/{id}": { query: undefined; body: ChangeConversation; answer: InboxConversationAnswer };
  "GET /v1/admin/conversations/{id}/activity": { query: { after?: number; before?: number; limit?: number }; body: undefined; answer: ActivityList };
  "GET /v1/admin/conversations/{id}/messages": { query: { after?: string; before?: string; limit?: number }; body: undefined; answer: MessagePage };
  "POST /v1/admin/conversations/{id}/messages": { query: undefined; body: SendMessage; answer: MessageAnswer };
  "POST /v1/admin/conversations/{id}/notes": { query: undefined; body: AddNote; answer: ActivityAnswer };
  "GET /v1/admin/conversations/{id}/person": { query: undefined; body: undefined; answer: PersonAnswer };
  "PATCH /v1/admin/conversations/{id}/person": { query: undefined; body: DescribePerson; answer: PersonAnswer };
  "PATCH /v1/admin/devices/{device_id}": { query: undefined; body: ChangeBlocked; answer: BlockedAnswer };
  "GET /v1/admin/devices/{device_id}/presence": { query: undefined; body: undefined; answer: Presence };
  "POST /v1/admin/devices/{device_id}/reset": { query: undefined; body: undefined; answer: Done };
  "POST /v1/admin/devices/{device_id}/unbind": { query: undefined; body: undefined; answer: Done };
  "GET /v1/admin/me": { query: undefined; body: undefined; answer: Me };
  "PATCH /v1/admin/me": { query: undefined; body: ChangeMe; answer: AgentAnswer };
  "PATCH /v1/admin/people/{user_id}": { query: undefined; body: ChangeBlocked; answer: BlockedAnswer };
  "GET /v1/admin/search": { query: { q: string; status?: ConversationStatus; assignee_id?: string; after?: string; limit?: number }; body: undefined; answer: SearchPage };
  "GET /v1/admin/sessions": { query: { after?: string; limit?: number }; body: undefined; answer: SessionPage };
  "DELETE /v1/admin/sign-ins": { query: { agent_id?: string }; body: undefined; answer: Done };
  "GET /v1/admin/sign-ins": { query: { agent_id?: string }; body: undefined; answer: SignIns };
  "DELETE /v1/admin/sign-ins/{sign_in_id}": { query: undefined; body: undefined; answer: Done };
  "GET /v1/admin/stats": { query: undefined; body: undefined; answer: Stats };
  "GET /v1/admin/tags": { query: undefined; body: undefined; answer: TagList };
  "POST /v1/admin/tags": { query: undefined; body: AddTag; answer: TagList };
  "DELETE /v1/admin/tags/{tag}": { query: undefined; body: undefined; answer: Done };
  "GET /v1/admin/tokens": { query: undefined; body: undefined; answer: TokenList };
  "POST /v1/admin/tokens": { query: undefined; body: AddToken; answer: TokenAdded };
  "DELETE /v1/admin/tokens/{token_id}": { query: undefined; body: undefined; answer: Done };
  "POST /v1/auth/code": { query: undefined; body: UseCode; answer: SignedIn };
  "POST /v1/auth/sign-in": { query: undefined; body: SignIn; answer: SignedIn };
  "POST /v1/auth/sign-out": { query: undefined; body: undefined; answer: Done };
  "GET /v1/conversations": { query: { limit?: number }; body: undefined; answer: ConversationPage };
  "POST /v1/conversations": { query: undefined; body: OpenConversation; answer: ConversationAnswer };
  "GET /v1/conversations/{id}/messages": { query: { after?: string; before?: string; limit?: number }; body: undefined; answer: MessagePage };
  "POST /v1/conversations/{id}/messages": { query: undefined; body: SendMessage; answer: MessageAnswer };
  "POST /v1/conversations/{id}/messages/delivered": { query: undefined; body: Receipt; answer: Done };
  "POST /v1/conversations/{id}/messages/read": { query: undefined; body: Receipt; answer: Done };
  "POST /v1/device-context": { query: undefined; body: TellContext; answer: Done };
  "POST /v1/identify": { query: undefined; body: Identify; answer: Done };
  "GET /v1/unread": { query: undefined; body: undefined; answer: Unread };
};
