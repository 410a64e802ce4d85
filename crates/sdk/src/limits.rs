//! The client's limits and times, together. What the server limits is in [`protocol::limits`].

use std::time::Duration;

/// Messages that may wait to be sent, for each person.
pub const QUEUED_MESSAGES: u64 = 500;
/// How long a message or any other event may go unanswered before it counts as failed.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an event may go unanswered before the connection is doubted.
pub const DOUBT: Duration = Duration::from_secs(4);
/// How long a connection that is doubted may take to show that it lives.
pub const PROBE: Duration = Duration::from_secs(4);
/// How long nothing may be heard before the connection is doubted: servers say something every 25 s.
pub const SILENCE: Duration = Duration::from_secs(30);
/// How long a try to connect is left alone when the network is said to be there: it may have begun on another one.
pub const CONNECTING: Duration = Duration::from_secs(2);
/// From one look at the clock to the next, by which an app that was frozen knows of it; and by how much later than planned
/// a look is for that.
pub const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));
/// How long a REST request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long dialling, TLS, the upgrade and the login may take together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The first and the longest wait between two tries to connect.
pub const RECONNECT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a connection must have held for the next wait to begin anew.
pub const STABLE: Duration = Duration::from_secs(10);
/// The longest wait that a server may ask for: before another try to send, or to connect where it leaves.
pub const ASKED_WAIT: Duration = Duration::from_secs(600);
/// The first and the longest wait between two tries to send a message.
pub const RESEND: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How long the queue is emptied for when the app goes to the background.
pub const BACKGROUND_DRAIN: Duration = Duration::from_secs(10);
/// How long a call may wait for the queue to be empty: a day is as good as for ever.
pub const LONGEST_DRAIN: Duration = Duration::from_secs(24 * 3600);
/// How often a message may have been on its way when the process died before it is set aside.
pub const CRASHES: u32 = 5;
/// How long the app may take to fetch a token.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest and the longest wait before a server that wants to be told anew who is there is asked again.
pub const IDENTITY_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How often a server that takes nothing from this device or person is asked whether it does again, on average.
pub const BLOCKED_RETRY: Duration = Duration::from_secs(300);
/// Devices that were left by logouts and of which the server was not told yet; beyond it some are forgotten.
pub const LEFT_DEVICES: usize = 32;
/// How long a person's data may take to reach the server before it is connected to without, and a conversation opened: who is told
/// to agents as nobody in particular for a moment is better off than who waits.
pub const IDENTIFY_FIRST: Duration = Duration::from_secs(3);
/// Events that wait for one who takes none.
pub const EVENTS: usize = 256;
/// From one damaged file to the next that is begun anew: a disk that keeps nothing is not to be written to all the time.
pub const MEND_PAUSE: Duration = Duration::from_secs(10);
/// Messages that the server may be ahead before the newest are fetched first.
pub const FAR_BEHIND: u64 = 500;
/// Messages of a page that is asked for by REST, and of a timeline before older ones are asked for.
pub const PAGE: u32 = 50;
/// Live messages of one conversation that wait for the ones before them. Beyond it all are forgotten: they come with the
/// pages.
pub const BUFFERED: usize = 500;
/// Pages in a row that may lack what a live message says came before it.
pub const EMPTY_PAGES: u32 = 4;
/// Messages by which an older one is named first, when the server does not have the last one: it lacks few, most often.
pub const LOOK_BACK: u64 = 4;
/// How long a receipt waits for others, and how many messages don't let it wait.
pub const RECEIPT_BATCH: (Duration, u64) = (Duration::from_millis(300), 50);
/// How often the agents are told that the person goes on typing.
pub const TYPING_REFRESH: Duration = Duration::from_secs(3);
/// Silence after which the person has stopped typing.
pub const TYPING_SILENCE: Duration = Duration::from_secs(3);
/// How long an agent's typing is shown without being told again.
pub const TYPING_SHOWN: Duration = Duration::from_secs(6);
/// Bytes of a REST answer at most.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;
