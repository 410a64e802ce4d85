// An agent at work: the connection, and what hangs on it. Made when somebody signs in, closed when they go.
import type { ChangeConversation, ChangeMe, InboxCounts, Permission, PersonAnswer, ViewingAgent } from "../../../wire/generated/protocol.ts";
import { type AdminEvent, type Answer, type Answered, type State, Wire } from "../../../wire/src/browser.ts";
import type { Ask, Failed } from "../api.ts";
import { Canned } from "./canned.svelte.ts";
import { Drafts, type Mode } from "./drafts.svelte.ts";
import { Inbox } from "./inbox.svelte.ts";
import type { Kept } from "./kept.ts";
import { Outbox } from "./outbox.svelte.ts";
import type { Session, SignedInAs } from "./session.svelte.ts";
import { Tags } from "./tags.svelte.ts";
import { Team } from "./team.svelte.ts";
import { Thread } from "./thread.svelte.ts";
import type { ViewName } from "./views.ts";

/** How many conversations' messages are kept for coming back to them. */
const THREADS = 20;
/** How often it is said that somebody types, while they do. */
const TYPING_MS = 4_000;
/** How long without a letter they have stopped. */
const STOPPED_MS = 5_000;
/** How long a connection may be away before that is worth a banner. */
const QUIET_MS = 2_000;

const later = (ms: number, run: () => void) => void setTimeout(run, ms);

/** A name that nobody has. `randomUUID` is not there where the page is not served by TLS. */
function newName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Desk {
  readonly me: SignedInAs;
  readonly ask: Ask;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly drafts: Drafts;
  readonly team: Team;
  readonly canned: Canned;
  readonly tags: Tags;
  wire = $state.raw<State>({ kind: "connecting" });
  /** Since when there is no connection, once that is worth telling. */
  offlineSince = $state<number | undefined>(undefined);
  /** The server knows us, and will not show us anything. */
  isForbidden = $state(false);
  /** The conversation that is looked at. */
  thread = $state.raw<Thread | undefined>(undefined);
  person = $state.raw<PersonAnswer | undefined>(undefined);
  personFailed = $state(false);
  /** How many conversations each view has, once that is known. */
  counts = $state.raw<InboxCounts | undefined>(undefined);
  /** The others who look at the open conversation. */
  others = $state.raw<readonly ViewingAgent[]>([]);
  /** What we may do; a role may change, and opens another connection then. */
  permissions = $state.raw<readonly Permission[] | undefined>(undefined);
  /** Called at each new connection: the server may be another one. */
  onConnected: () => void = () => {};

  #session: Session;
  #listeners = new Set<(event: AdminEvent) => void>();
  #connection: Wire;
  #threads = new Map<string, Thread>();
  #view: ViewName = "all";
  #awaySince: number | undefined;
  #isTyping = false;
  #typedAt = 0;
  #saidTypingAt = 0;
  #readUpTo = new Map<string, string>();
  /** The conversation that the server shows others that we look at. */
  #viewing: string | undefined;
  #isLooking = false;
  #personTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(me: SignedInAs, session: Session, kept: Kept, ask: Ask) {
    this.me = me;
    this.ask = ask;
    this.#session = session;
    const soon = (run: () => void) => {
      // A page in the background draws no pictures, and its title counts all the same.
      if (document.visibilityState === "visible") requestAnimationFrame(run);
      else later(250, run);
    };
    this.inbox = new Inbox({
      ask,
      me: me.agentId,
      soon,
      later,
      forgot: (id) => {
        if (this.thread?.id === id) void this.#learn(id);
      },
    });
    this.team = new Team(ask, me.agentId);
    this.canned = new Canned(ask);
    this.tags = new Tags(ask);
    this.drafts = new Drafts(kept, me.who);
    this.outbox = new Outbox(kept, me.who, {
      send: ({ mode, conversation_id, body, local_id }, answer) =>
        mode === "note"
          ? void this.#note(conversation_id, local_id, body).then(answer)
          : this.#connection.ask("message:send", { conversation_id, body, local_id }, answer),
      isOnline: () => this.wire.kind === "online",
      later,
      now: () => Date.now(),
      name: newName,
      stored: (message) => this.#threads.get(message.conversation_id)?.take(message),
      noted: (activity) => this.#threads.get(activity.conversation_id)?.happened(activity),
    });
    this.#connection = new Wire(
      { app_id: me.app_id, admin_token: me.token },
      { changed: (state) => this.#changed(state), heard: (event) => this.#heard(event) },
    );
  }

  close(): void {
    this.#connection.close();
    clearTimeout(this.#personTimer);
  }

  get mayManage(): boolean {
    return this.permissions?.includes("manage") ?? false;
  }

  get maySeeSessions(): boolean {
    return this.permissions?.includes("view_sessions") ?? false;
  }

  /** Our name as it is now; it may have been changed since we signed in. */
  get name(): string {
    return this.team.find(this.me.agentId ?? "")?.name ?? this.me.name;
  }

  get isAway(): boolean {
    return this.team.find(this.me.agentId ?? "")?.availability === "away";
  }

  /** Changes what we say of ourselves; tells why not. */
  async changeMe(body: ChangeMe): Promise<Failed | undefined> {
    const outcome = await this.ask("PATCH /v1/admin/me", { body });
    if (!outcome.ok) return outcome.failed;
    await this.team.load();
    return undefined;
  }

  tryNow(): void {
    this.#connection.tryNow();
  }

  /** Hears of all that comes; returns what ends that. */
  listen(listener: (event: AdminEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A page of those who are connected. */
  sessionsPage(after: string, limit: number, answer: (answer: Answered<"sessions:list">) => void): void {
    this.#connection.ask("sessions:list", { app_id: this.me.app_id, after, limit }, answer);
  }

  show(view: ViewName): void {
    this.#view = view;
    this.inbox.show(view);
  }

  /** Looks at a conversation, or at none. */
  open(id: string | undefined): void {
    if (this.thread?.id === id) return;
    this.stoppedTyping();
    if (this.thread) this.#connection.say("conversation:leave", { conversation_id: this.thread.id });
    this.person = undefined;
    this.personFailed = false;
    this.others = [];
    this.#viewing = undefined;
    this.thread = id === undefined ? undefined : this.#threadOf(id);
    if (!this.thread) return;
    void this.thread.open();
    void this.loadPerson();
    // Who opens it has looked at it again.
    if (this.inbox.find(this.thread.id)?.is_marked_unread && !this.me.mayNotAnswer) void this.markUnread(this.thread.id, false);
  }

  /** Whether the page is before somebody's eyes: who looks at nothing is not shown to others. */
  looks(isLooking: boolean): void {
    this.#isLooking = isLooking;
    this.#tellViewing();
  }

  #tellViewing(): void {
    const { thread } = this;
    if (this.me.agentId === undefined || this.wire.kind !== "online") return;
    const now = this.#isLooking && thread?.isCaughtUp ? thread.id : undefined;
    if (now === this.#viewing) return;
    this.#viewing = now;
    this.#connection.say("conversation:viewing", now === undefined ? {} : { conversation_id: now });
  }

  async loadPerson(): Promise<void> {
    const id = this.thread?.id;
    if (id === undefined) return;
    const outcome = await this.ask("GET /v1/admin/conversations/{id}/person", { path: [id] });
    if (this.thread?.id !== id) return;
    this.personFailed = !outcome.ok;
    if (outcome.ok) this.person = outcome.answer;
    if (!this.inbox.find(id)) await this.#learn(id);
  }

  /** Resolves or reopens; tells why not. */
  async change(id: string, status: "open" | "resolved"): Promise<Failed | undefined> {
    return this.#patch(id, { status });
  }

  /** Says that somebody has to look at it again, or no longer; tells why not. */
  async markUnread(id: string, marked_unread: boolean): Promise<Failed | undefined> {
    return this.#patch(id, { marked_unread });
  }

  /** Puts a tag on, or takes it off; tells why not. */
  async tag(id: string, tag: string, isOn: boolean): Promise<Failed | undefined> {
    const failed = await this.#patch(id, isOn ? { add_tags: [tag] } : { remove_tags: [tag] });
    if (!failed) void this.tags.load();
    return failed;
  }

  /** Keeps what the team knows of the person; tells why not. */
  async describe(about: string): Promise<Failed | undefined> {
    const id = this.thread?.id;
    if (id === undefined) return undefined;
    const outcome = await this.ask("PATCH /v1/admin/conversations/{id}/person", { path: [id], body: { about } });
    if (!outcome.ok) return outcome.failed;
    if (this.thread?.id === id) this.person = outcome.answer;
    return undefined;
  }

  /** Takes, gives or releases, if it is with whom it is thought to be with; tells why not. */
  async assign(id: string, to: string | null, from: string | null): Promise<Failed | undefined> {
    const failed = await this.#patch(id, { assignee_id: to, if_assignee_id: from });
    // Who has it instead stands in the row.
    if (failed?.code === "ASSIGNEE_CHANGED") await this.#learn(id);
    return failed;
  }

  async #patch(id: string, body: ChangeConversation): Promise<Failed | undefined> {
    // What is heard meanwhile is no older than the answer.
    const heard = this.inbox.now;
    const outcome = await this.ask("PATCH /v1/admin/conversations/{id}", { path: [id], body });
    if (!outcome.ok) return outcome.failed;
    this.inbox.learn(outcome.answer.conversation, heard);
    return undefined;
  }

  async block(who: { device: string } | { person: string }, blocked: boolean): Promise<Failed | undefined> {
    const outcome =
      "device" in who
        ? await this.ask("PATCH /v1/admin/devices/{device_id}", { path: [who.device], body: { blocked } })
        : await this.ask("PATCH /v1/admin/people/{user_id}", { path: [who.person], body: { blocked } });
    if (!outcome.ok) return outcome.failed;
    await this.loadPerson();
    return undefined;
  }

  /** Somebody has seen the newest message of the open conversation. */
  read(): void {
    const { thread } = this;
    const newest = thread?.messages.findLast((message) => message.sender === "user");
    if (!thread || !newest || this.#readUpTo.get(thread.id) === newest.id) return;
    if (newest.seq <= thread.receipts.agent_read_seq || this.wire.kind !== "online") return;
    this.#readUpTo.set(thread.id, newest.id);
    this.#connection.ask("message:read", { conversation_id: thread.id, up_to_message_id: newest.id }, (answer) => {
      if (answer.kind === "done") this.inbox.readAll(thread.id);
      else this.#readUpTo.delete(thread.id);
    });
  }

  /** A letter was written. */
  typed(): void {
    const { thread } = this;
    if (!thread) return;
    const now = Date.now();
    this.#typedAt = now;
    if (!this.#isTyping) later(STOPPED_MS, () => this.#maybeStopped());
    if (!this.#isTyping || now - this.#saidTypingAt > TYPING_MS) {
      this.#connection.say("typing:start", { conversation_id: thread.id });
      this.#saidTypingAt = now;
    }
    this.#isTyping = true;
  }

  stoppedTyping(): void {
    if (this.#isTyping && this.thread) this.#connection.say("typing:stop", { conversation_id: this.thread.id });
    this.#isTyping = false;
  }

  /** Writes to the person, or a note for the team. */
  send(body: string, mode: Mode): void {
    const { thread } = this;
    if (!thread) return;
    // The server ends the typing with the message.
    if (mode === "reply") this.#isTyping = false;
    this.outbox.send(thread.id, body, mode);
  }

  async signOut(): Promise<void> {
    if (this.me.agentId) await this.ask("POST /v1/auth/sign-out");
    this.#session.end();
  }

  #maybeStopped(): void {
    if (!this.#isTyping) return;
    const left = this.#typedAt + STOPPED_MS - Date.now();
    if (left <= 0) this.stoppedTyping();
    else later(left, () => this.#maybeStopped());
  }

  #threadOf(id: string): Thread {
    const known = this.#threads.get(id);
    this.#threads.delete(id);
    const thread =
      known ??
      new Thread(id, {
        ask: this.ask,
        later,
        join: (conversation_id, after, after_activity, answer) => {
          if (this.thread?.id !== conversation_id) return;
          this.#connection.ask("conversation:join", { conversation_id, after, after_activity }, (outcome) => {
            answer(outcome);
            this.#tellViewing();
          });
        },
      });
    this.#threads.set(id, thread);
    for (const oldest of this.#threads.keys()) {
      if (this.#threads.size <= THREADS) break;
      this.#threads.delete(oldest);
    }
    return thread;
  }

  /** Writes a note down; what has no answer may come to one another time. */
  async #note(conversation_id: string, local_id: string, body: string): Promise<Answer> {
    const outcome = await this.ask("POST /v1/admin/conversations/{id}/notes", {
      path: [conversation_id],
      body: { local_id, body },
    });
    if (outcome.ok) return { kind: "done", payload: outcome.answer };
    const { code, message, retryAfterMs } = outcome.failed;
    if (code === "UNREACHABLE") return { kind: "failed", code: "SERVER_ERROR", message, retryAfterMs };
    return { kind: "failed", code, message, retryAfterMs };
  }

  async #learnCounts(): Promise<void> {
    const outcome = await this.ask("GET /v1/admin/conversations/counts");
    if (outcome.ok) this.counts = outcome.answer;
  }

  async #learnPermissions(): Promise<void> {
    const outcome = await this.ask("GET /v1/admin/me");
    if (outcome.ok) this.permissions = outcome.answer.permissions;
  }

  async #learn(id: string): Promise<void> {
    const heard = this.inbox.now;
    const outcome = await this.ask("GET /v1/admin/conversations/{id}", { path: [id] });
    if (outcome.ok) this.inbox.learn(outcome.answer.conversation, heard);
  }

  #changed(state: State): void {
    this.wire = state;
    if (state.kind === "online") {
      this.#session.used();
      this.#awaySince = undefined;
      this.offlineSince = undefined;
      // The connection is not assigned yet if all of this happened within its constructor.
      queueMicrotask(() => this.#connected());
      return;
    }
    if (this.thread) this.thread.isTyping = false;
    this.others = [];
    this.#viewing = undefined;
    if (state.kind === "refused") {
      if (state.code === "INVALID_CREDENTIALS") this.#session.refused();
      else this.isForbidden = true;
    } else if (this.#awaySince === undefined) {
      const since = Date.now();
      this.#awaySince = since;
      later(QUIET_MS, () => {
        if (this.#awaySince === since) this.offlineSince = since;
      });
    }
  }

  #connected(): void {
    this.inbox.resync(this.#view);
    // One's own are counted in each view.
    if (this.me.agentId) this.inbox.show("mine");
    void this.team.load();
    void this.tags.load();
    void this.#learnCounts();
    void this.#learnPermissions();
    void this.thread?.open();
    void this.loadPerson();
    this.#readUpTo.clear();
    this.outbox.pump();
    this.onConnected();
  }

  #heard(event: AdminEvent): void {
    this.#session.used();
    for (const listener of this.#listeners) listener(event);
    switch (event.name) {
      case "conversation:updated":
        if (event.payload.conversation.assignee_id) this.team.heardOf(event.payload.conversation.assignee_id);
        return this.inbox.updated(event.payload.conversation, event.payload.last_message);
      case "presence:change":
        this.inbox.presence(event.payload);
        if (this.person?.devices.some(({ device_id }) => device_id === event.payload.device_id)) this.#personSoon();
        return;
      case "message:new":
        this.outbox.saw(event.payload);
        return this.#threads.get(event.payload.conversation_id)?.take(event.payload);
      case "inbox:counts":
        this.counts = event.payload;
        return;
      case "agent:viewing": {
        const { conversation_id, agents } = event.payload;
        if (this.thread?.id === conversation_id) this.others = agents.filter(({ id }) => id !== this.me.agentId);
        return;
      }
      case "activity:new":
        this.outbox.saw(event.payload);
        if (event.payload.kind === "described" && this.thread?.id === event.payload.conversation_id) this.#personSoon();
        return this.#threads.get(event.payload.conversation_id)?.happened(event.payload);
      case "message:status":
        return this.#threads.get(event.payload.conversation_id)?.status(event.payload);
      case "user:typing": {
        const { conversation_id, is_typing } = event.payload;
        if (this.thread?.id === conversation_id) this.thread.isTyping = is_typing;
      }
    }
  }

  /** Devices come and go together; one look is enough for all. */
  #personSoon(): void {
    clearTimeout(this.#personTimer);
    this.#personTimer = setTimeout(() => void this.loadPerson(), 500);
  }
}
