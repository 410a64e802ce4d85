// One conversation: a piece of its messages without holes, that grows at both ends; and beside it a piece of what the team did.
import type { Activity, Message, MessageStatus, Receipts, StatusChange } from "../../../wire/generated/protocol.ts";
import type { Answered } from "../../../wire/src/browser.ts";
import type { Ask } from "../api.ts";

/** How many messages a page has, and how much of what happened. */
const PAGE = 50;

/** What a thread needs from the world. */
export interface Door {
  ask: Ask;
  join(conversation: string, after: string, afterActivity: number, answer: (answer: Answered<"conversation:join">) => void): void;
  later(ms: number, run: () => void): void;
}

/** How far a message got, by how far its reader has. */
export const statusOf = (seq: number, delivered: number, read: number): MessageStatus =>
  seq <= read ? "read" : seq <= delivered ? "delivered" : "sent";

export class Thread {
  readonly id: string;
  messages = $state.raw<readonly Message[]>([]);
  /** What happened beside them, and what was noted, as far back as was read. */
  activity = $state.raw<readonly Activity[]>([]);
  /** `missing`: there is none of this id for us. */
  state = $state<"loading" | "ready" | "failed" | "missing">("loading");
  hasEarlier = $state(false);
  isLoadingEarlier = $state(false);
  receipts = $state.raw<Receipts>({ user_delivered_seq: 0, user_read_seq: 0, agent_delivered_seq: 0, agent_read_seq: 0 });
  /** When the person has read last, as far as this page has heard. */
  readAt = $state<string | undefined>(undefined);
  isTyping = $state(false);
  /** Whether it is known how far both sides have read. */
  isCaughtUp = $state(false);

  #door: Door;
  #isLoading = false;
  #isJoined = false;
  #hasEarlierActivity = false;

  constructor(id: string, door: Door) {
    this.id = id;
    this.#door = door;
  }

  /** The newest page, and from there on all that comes. Called again after each reconnection. */
  async open(): Promise<void> {
    this.isTyping = false;
    this.isCaughtUp = false;
    this.#isJoined = false;
    if (this.#isLoading) return;
    if (this.state === "ready") return this.#join();
    this.#isLoading = true;
    this.state = "loading";
    const [outcome, happened] = await Promise.all([this.#page(""), this.#happened(undefined)]);
    this.#isLoading = false;
    const failed = outcome.ok ? (happened.ok ? undefined : happened.failed) : outcome.failed;
    if (!outcome.ok || !happened.ok) {
      this.state = failed?.code === "CONVERSATION_NOT_FOUND" ? "missing" : "failed";
      return;
    }
    this.messages = outcome.answer.messages;
    this.hasEarlier = outcome.answer.has_more;
    this.activity = happened.answer.activity;
    this.#hasEarlierActivity = happened.answer.has_more;
    this.state = "ready";
    this.#join();
    void this.#earlierActivity();
  }

  /** The page before the first message that is there. */
  async earlier(): Promise<void> {
    const first = this.messages[0];
    if (!first || !this.hasEarlier || this.isLoadingEarlier) return;
    this.isLoadingEarlier = true;
    const outcome = await this.#page(first.id);
    this.isLoadingEarlier = false;
    // It may have begun anew meanwhile.
    if (!outcome.ok || this.messages[0]?.id !== first.id) return;
    this.messages = [...outcome.answer.messages, ...this.messages];
    this.hasEarlier = outcome.answer.has_more;
    await this.#earlierActivity();
  }

  /** What happened since the first message that is shown, which may be more than a page. */
  async #earlierActivity(): Promise<void> {
    for (;;) {
      const first = this.activity[0];
      const since = this.hasEarlier ? this.messages[0]?.created_at : undefined;
      if (!first || !this.#hasEarlierActivity || (since !== undefined && first.at < since)) return;
      const outcome = await this.#happened(first.n);
      if (!outcome.ok || this.activity[0]?.n !== first.n) return;
      this.activity = [...outcome.answer.activity, ...this.activity];
      this.#hasEarlierActivity = outcome.answer.has_more;
    }
  }

  /** A message came, by whatever way. What would leave a hole is asked for in order. */
  take(message: Message): void {
    const last = this.messages.at(-1)?.seq ?? 0;
    if (this.state !== "ready" || message.seq <= last) return;
    if (message.seq === last + 1) {
      this.messages = [...this.messages, message];
      if (message.sender === "user") this.isTyping = false;
    } else if (this.#isJoined) this.#join();
  }

  /** Something happened. What would leave a hole is asked for in order. */
  happened(activity: Activity): void {
    const last = this.activity.at(-1)?.n ?? 0;
    if (this.state !== "ready" || activity.n <= last) return;
    if (activity.n === last + 1) this.activity = [...this.activity, activity];
    else if (this.#isJoined) this.#join();
  }

  status({ up_to_seq, status, by, at }: StatusChange): void {
    const field = `${by}_${status}_seq` as keyof Receipts;
    if (!(field in this.receipts) || this.receipts[field] >= up_to_seq) return;
    this.receipts = { ...this.receipts, [field]: up_to_seq };
    if (by === "user" && status === "read") this.readAt = at;
  }

  #join(): void {
    const [message, activity] = [this.messages.at(-1), this.activity.at(-1)];
    this.#door.join(this.id, message?.id ?? "", activity?.n ?? 0, (answer) => this.#joined(answer));
  }

  #joined(answer: Answered<"conversation:join">): void {
    if (answer.kind === "lost") return; // The next connection joins again.
    if (answer.kind === "failed") {
      if (answer.code === "MESSAGE_NOT_FOUND" || answer.code === "ACTIVITY_NOT_FOUND") this.#beginAnew();
      else if (answer.code === "CONVERSATION_NOT_FOUND") this.state = "missing";
      else this.#door.later(answer.retryAfterMs ?? 1_000, () => this.#join());
      return;
    }
    const { messages, has_more, receipts, activity, has_more_activity } = answer.payload;
    const last = this.messages.at(-1)?.seq ?? 0;
    const fresh = (messages ?? []).filter(({ seq }) => seq > last);
    if (fresh.length > 0) this.messages = [...this.messages, ...fresh];
    const lastN = this.activity.at(-1)?.n ?? 0;
    const happened = (activity ?? []).filter(({ n }) => n > lastN);
    if (happened.length > 0) this.activity = [...this.activity, ...happened];
    if (receipts) this.receipts = receipts;
    this.#isJoined = true;
    if (has_more || has_more_activity) this.#join();
    else this.isCaughtUp = true;
  }

  /** What is shown is not what the server has: its database went back in time. */
  #beginAnew(): void {
    this.messages = [];
    this.activity = [];
    this.state = "loading";
    void this.open();
  }

  #happened(before: number | undefined) {
    return this.#door.ask("GET /v1/admin/conversations/{id}/activity", {
      path: [this.id],
      query: before === undefined ? { limit: PAGE } : { before, limit: PAGE },
    });
  }

  #page(before: string) {
    return this.#door.ask("GET /v1/admin/conversations/{id}/messages", {
      path: [this.id],
      query: { before, limit: PAGE },
    });
  }
}
