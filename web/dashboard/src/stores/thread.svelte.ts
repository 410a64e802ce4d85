// One conversation's messages: a piece of it without holes, that grows at both ends.
import type { Message, MessageStatus, Receipts, StatusChange } from "../../../wire/generated/protocol.ts";
import type { Answered } from "../../../wire/src/browser.ts";
import type { Ask } from "../api.ts";

/** How many messages a page has. */
const PAGE = 50;

/** What a thread needs from the world. */
export interface Door {
  ask: Ask;
  join(conversation: string, after: string, answer: (answer: Answered<"conversation:join">) => void): void;
  later(ms: number, run: () => void): void;
}

/** How far a message got, by how far its reader has. */
export const statusOf = (seq: number, delivered: number, read: number): MessageStatus =>
  seq <= read ? "read" : seq <= delivered ? "delivered" : "sent";

export class Thread {
  readonly id: string;
  messages = $state.raw<readonly Message[]>([]);
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
    const outcome = await this.#page("");
    this.#isLoading = false;
    if (!outcome.ok) {
      this.state = outcome.failed.code === "CONVERSATION_NOT_FOUND" ? "missing" : "failed";
      return;
    }
    this.messages = outcome.answer.messages;
    this.hasEarlier = outcome.answer.has_more;
    this.state = "ready";
    this.#join();
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

  status({ up_to_seq, status, by, at }: StatusChange): void {
    const field = `${by}_${status}_seq` as keyof Receipts;
    if (!(field in this.receipts) || this.receipts[field] >= up_to_seq) return;
    this.receipts = { ...this.receipts, [field]: up_to_seq };
    if (by === "user" && status === "read") this.readAt = at;
  }

  #join(): void {
    this.#door.join(this.id, this.messages.at(-1)?.id ?? "", (answer) => this.#joined(answer));
  }

  #joined(answer: Answered<"conversation:join">): void {
    if (answer.kind === "lost") return; // The next connection joins again.
    if (answer.kind === "failed") {
      if (answer.code === "MESSAGE_NOT_FOUND") this.#beginAnew();
      else if (answer.code === "CONVERSATION_NOT_FOUND") this.state = "missing";
      else this.#door.later(answer.retryAfterMs ?? 1_000, () => this.#join());
      return;
    }
    const { messages, has_more, receipts } = answer.payload;
    const last = this.messages.at(-1)?.seq ?? 0;
    const fresh = (messages ?? []).filter(({ seq }) => seq > last);
    if (fresh.length > 0) this.messages = [...this.messages, ...fresh];
    if (receipts) this.receipts = receipts;
    this.#isJoined = true;
    if (has_more) this.#join();
    else this.isCaughtUp = true;
  }

  /** What is shown is not what the server has: its database went back in time. */
  #beginAnew(): void {
    this.messages = [];
    this.state = "loading";
    void this.open();
  }

  #page(before: string) {
    return this.#door.ask("GET /v1/admin/conversations/{id}/messages", {
      path: [this.id],
      query: { before, limit: PAGE },
    });
  }
}
