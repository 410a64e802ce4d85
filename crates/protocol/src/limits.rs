//! The limits, together. Those that an operator can change have their defaults here.

use std::time::Duration;

/// Characters in a message's body, at most.
pub const BODY_CHARS: usize = 5_000;
/// Characters in a `local_id`, at most.
pub const LOCAL_ID_CHARS: usize = 64;
/// Characters in a `device_id`, at most.
pub const DEVICE_ID_CHARS: usize = 128;
/// Characters in a user's id, name or e-mail address, or in a name given to an app or a token, at most.
pub const NAME_CHARS: usize = 256;
/// Bytes of JSON in a user's `attributes` or a `device_context`, at most.
pub const CONTEXT_BYTES: usize = 8 * 1024;
/// Bytes in one frame from a client, at most; also in a REST body.
pub const FRAME_BYTES: usize = 64 * 1024;
/// Bytes that may wait for one connection before it is dropped as a slow reader.
pub const QUEUE_BYTES: usize = 1024 * 1024;
/// Sends that one connection may have waiting for their commit; further events wait unread.
pub const SENDS_IN_FLIGHT: usize = 64;
/// Bytes of a body as it is encoded in JSON, at most: [`BODY_CHARS`] of the longest characters there are. What JSON writes
/// longer than it is, control characters above all, counts as it is written: it is what others have to read.
pub const BODY_JSON_BYTES: usize = 4 * BODY_CHARS;
/// Characters of a message's body in `conversation:updated`: what an inbox shows of it.
pub const PREVIEW_CHARS: usize = 200;
/// Bytes of an HTTP request's head, at most.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Sends a second per device.
pub const DEVICE_SENDS_PER_SECOND: u32 = 5;
/// How many seconds' worth of sends may come at once.
pub const SEND_BURST_SECONDS: u32 = 2;
/// Sends a second per agent connection.
pub const AGENT_SENDS_PER_SECOND: u32 = 100;
/// Connections per device.
pub const CONNECTIONS_PER_DEVICE: u32 = 20;
/// Conversations that one device connection may be joined to.
pub const ROOMS_PER_DEVICE_CONNECTION: usize = 100;
/// Conversations that one agent connection may be joined to.
pub const ROOMS_PER_AGENT_CONNECTION: usize = 1_000;
/// Of a conversation's messages, so many of the newest are looked at to count what a device has not read.
pub const UNREAD_COUNTED: u64 = 1_000;
/// Rows in a page when nothing is said.
pub const PAGE: u32 = 50;
/// Rows in a page at most.
pub const PAGE_MAX: u32 = 200;
/// Characters of what is searched for, at most.
pub const SEARCH_CHARS: usize = 256;
/// Characters of a text that a search shows around what it has found, at most.
pub const SNIPPET_CHARS: usize = 160;
/// Bytes of a page as it is encoded, at most, of whatever it is a page; one row always fits.
pub const PAGE_BYTES: usize = 256 * 1024;
/// Sessions in one answer at most.
pub const SESSIONS_PAGE_MAX: u32 = 1_000;
/// From one ping to the next.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long a pong may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(60);
/// Characters of a device's own secret.
pub const DEVICE_SECRET_CHARS: std::ops::RangeInclusive<usize> = 32..=128;
/// Bytes of a token that proves who somebody is, at most; of a public key, too.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// How far a token's end may be ahead, at most.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How far the clock of whoever made a token may be off.
pub const TOKEN_CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
/// Keys of one app that prove identities at one time: the present one, and the one before or after it.
pub const IDENTITY_KEYS_LIVE: u64 = 2;
/// Characters of an agent's password, at least.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Bytes of an agent's password, at most.
pub const PASSWORD_BYTES: usize = 1_024;
/// Passwords that may wait to be checked; more are refused.
pub const PASSWORDS_WAITING: usize = 64;
/// Wrong passwords for one account that cost no wait.
pub const ATTEMPTS_FREE_ACCOUNT: u32 = 5;
/// Wrong passwords and codes from one address that cost no wait.
pub const ATTEMPTS_FREE_ADDRESS: u32 = 20;
/// How long a wrong password has the next try wait, at most.
pub const ATTEMPTS_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the link of a first run is good.
pub const FIRST_RUN_CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long an invitation is good.
pub const INVITATION_LIFETIME: Duration = Duration::from_secs(72 * 60 * 60);
/// How long a link for a new password is good.
pub const RESET_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the links of the demo are good.
pub const DEMO_CODE_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a session lasts from its last use.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long it lasts where "stay signed in" was chosen.
pub const SESSION_IDLE_STAY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Characters that are kept of the words by which a program calls itself that signs in.
pub const USER_AGENT_CHARS: usize = 256;
/// Canned replies of one app, at most.
pub const CANNED_REPLIES: u64 = 1_000;
/// Characters of a canned reply's shortcut, at most.
pub const SHORTCUT_CHARS: usize = 32;
/// Tags of one conversation, at most.
pub const TAGS: usize = 20;
/// Characters of a tag, at most.
pub const TAG_CHARS: usize = 32;
/// Tags on the list of one app, at most.
pub const TAGS_OF_APP: u64 = 500;
/// Characters of what the team writes about a person, at most.
pub const ABOUT_CHARS: usize = 2_000;
/// Conversations that are counted in each view of an inbox: what is said to be so many may be more.
pub const COUNTED: u64 = 1_000;
/// How long typing is shown that is not repeated.
pub const TYPING_LIFETIME: Duration = Duration::from_secs(6);
/// How long a handshake may take, from the first byte to the accepted namespace.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what waits for it before it is dropped. A socket's ping timeout, where that is
/// shorter, counts instead.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a whole HTTP answer may take to be read, from the moment at which it no longer goes out at once.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections beyond `--max-connections`, or beyond what the process may open, that are let in all the same, to wait for
/// a place: questions about health are answered there. The oldest makes room for the newest.
pub const OVERFLOW_CONNECTIONS: usize = 64;
/// Buckets that are remembered over all limits by action; the fullest ones are kept.
pub const RATE_BUCKETS: usize = 64 * 1024;

/// What is limited in how often it may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send a message.
    Send,
    /// Open a conversation: `POST /v1/conversations`.
    Open,
    /// Say who uses a device, or what it is: `POST /v1/identify`, `POST /v1/device-context`.
    Identify,
    /// Own a device's name by a secret, for the first time.
    Claim,
    /// Sign in as an agent, or use a code.
    SignIn,
    /// Connect a socket, and log in on one.
    Connect,
    /// Join a conversation.
    Join,
    /// Acknowledge: `delivery:receipt`, `message:read`, and their routes.
    Receipt,
    /// Show typing, or what an agent looks at.
    Typing,
    /// Read a page or a list.
    Read,
    /// Change a conversation, a person or a setting.
    Change,
    /// Any other event of a socket, and sends that are refused. Who is over this one waits instead of being refused.
    Event,
}

/// By what it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The device, over all its connections and REST.
    Device,
    /// The agent's connection, or over REST the agent's token.
    Agent,
    /// The network address: IPv6 by its first 64 bits.
    Address,
    /// The app: what all its devices do together.
    App,
    /// One connection.
    Connection,
}

/// A bucket: how fast it fills, and how much is in it at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often in a minute, as a mean.
    pub per_minute: u32,
    /// How often at once.
    pub burst: u32,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Send,
        Self::Open,
        Self::Identify,
        Self::Claim,
        Self::SignIn,
        Self::Connect,
        Self::Join,
        Self::Receipt,
        Self::Typing,
        Self::Read,
        Self::Change,
        Self::Event,
    ];

    /// What there are too many of.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Send => "sends",
            Self::Open => "conversations opened",
            Self::Identify => "people identified",
            Self::Claim => "devices claimed",
            Self::SignIn => "sign-ins",
            Self::Connect => "connections",
            Self::Join => "joins",
            Self::Receipt => "receipts",
            Self::Typing => "typing events",
            Self::Read => "reads",
            Self::Change => "changes",
            Self::Event => "events",
        }
    }

    /// As it is written in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Open => "open",
            Self::Identify => "identify",
            Self::Claim => "claim",
            Self::SignIn => "sign_in",
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Receipt => "receipt",
            Self::Typing => "typing",
            Self::Read => "read",
            Self::Change => "change",
            Self::Event => "event",
        }
    }
}

impl By {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Device, Self::Agent, Self::Address, Self::App, Self::Connection];

    /// As it is written in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Agent => "agent",
            Self::Address => "address",
            Self::App => "app",
            Self::Connection => "connection",
        }
    }
}

const fn rate(per_minute: u32, burst: u32) -> Rate {
    Rate { per_minute, burst }
}

/// How often what may be done, unless the operator says otherwise. By device, what no person does, but an app that comes
/// back after a bad network might; by address, what a school or a mobile network behind one address does; by app, only
/// where the public key alone makes rows.
pub const RATES: &[(Action, By, Rate)] = &[
    (
        Action::Send,
        By::Device,
        rate(60 * DEVICE_SENDS_PER_SECOND, SEND_BURST_SECONDS * DEVICE_SENDS_PER_SECOND),
    ),
    (Action::Send, By::Agent, rate(60 * AGENT_SENDS_PER_SECOND, SEND_BURST_SECONDS * AGENT_SENDS_PER_SECOND)),
    (Action::Open, By::Device, rate(120, 100)),
    (Action::Open, By::Address, rate(600, 300)),
    (Action::Open, By::App, rate(3_000, 1_000)),
    (Action::Identify, By::Device, rate(60, 60)),
    (Action::Identify, By::Address, rate(600, 300)),
    (Action::Identify, By::App, rate(1_800, 300)),
    (Action::Claim, By::Device, rate(60, 60)),
    (Action::Claim, By::Address, rate(600, 300)),
    (Action::Claim, By::App, rate(6_000, 2_000)),
    (Action::SignIn, By::Address, rate(120, 60)),
    (Action::Connect, By::Device, rate(600, 100)),
    (Action::Connect, By::Address, rate(6_000, 2_000)),
    (Action::Join, By::Device, rate(1_200, 400)),
    (Action::Join, By::Agent, rate(6_000, 2_000)),
    (Action::Receipt, By::Device, rate(1_200, 200)),
    (Action::Receipt, By::Agent, rate(6_000, 1_000)),
    (Action::Typing, By::Device, rate(600, 60)),
    (Action::Typing, By::Agent, rate(1_200, 120)),
    (Action::Read, By::Device, rate(1_200, 400)),
    (Action::Read, By::Agent, rate(6_000, 1_000)),
    (Action::Change, By::Agent, rate(3_000, 300)),
    (Action::Event, By::Connection, rate(30_000, 1_000)),
];
