// What was sent and is not stored yet. It is kept until the server has it, and goes again under the same `local_id`, so that
// the server stores it once whatever happens in between.
import type { Activity, ActivityAnswer, Message, SentMessage } from "../../../wire/generated/protocol.ts";
import type { Answer } from "../../../wire/src/browser.ts";
import { words } from "../words.ts";
import type { Mode } from "./drafts.svelte.ts";
import type { Kept } from "./kept.ts";

/** How often a failure that may pass is tried again before it is told. */
const TRIES = 3;
const RETRY_MS = 1_000;

export interface Outgoing {
  local_id: string;
  conversation_id: string;
  body: string;
  /** Whom it is for. One that was kept by an earlier page is for the person. */
  mode?: Mode;
  at: string;
  /** `waiting` for the connection, `sending`, `slow`: the server wants it later, `failed`: for somebody to decide. */
  state: "waiting" | "sending" | "slow" | "failed";
  /** Why it failed. */
  why?: string;
  /** When it is tried again. */
  until?: number;
}

export interface Post {
  /** Sends it to where its mode says: it is answered with a message, or with an activity. */
  send(outgoing: Outgoing, answer: (answer: Answer) => void): void;
  isOnline(): boolean;
  later(ms: number, run: () => void): void;
  now(): number;
  /** A name that nobody has. */
  name(): string;
  /** It is stored. */
  stored(message: Message): void;
  noted(activity: Activity): void;
}

export class Outbox {
  /** In the order in which they were written. */
  entries = $state.raw<readonly Outgoing[]>([]);
  #kept: Kept;
  #prefix: string;
  #post: Post;
  #tries = new Map<string, number>();

  constructor(kept: Kept, agent: string, post: Post) {
    this.#kept = kept;
    this.#prefix = `replyhq.outbox.${agent}.`;
    this.#post = post;
    const found = kept.keys(this.#prefix).flatMap((key) => {
      const entry = read(kept.get(key));
      return entry ? [entry] : [];
    });
    this.entries = found.sort((a, b) => (a.at < b.at ? -1 : 1));
  }

  of(conversation: string, mode: Mode): Outgoing[] {
    return this.entries.filter((entry) => entry.conversation_id === conversation && modeOf(entry) === mode);
  }

  send(conversation_id: string, body: string, mode: Mode = "reply"): Outgoing {
    const at = new Date(this.#post.now()).toISOString();
    const entry: Outgoing = { local_id: this.#post.name(), conversation_id, body, mode, at, state: "waiting" };
    this.#keep(entry);
    this.entries = [...this.entries, entry];
    this.pump();
    return entry;
  }

  again(local_id: string): void {
    this.#tries.delete(local_id);
    this.#change(local_id, { state: "waiting" });
    this.pump();
  }

  remove(local_id: string): void {
    this.#kept.remove(this.#prefix + local_id);
    this.#tries.delete(local_id);
    this.entries = this.entries.filter((entry) => entry.local_id !== local_id);
  }

  /** A message or note came that may be one of these: whichever way is first, it is stored. */
  saw({ conversation_id, local_id }: Message | Activity): void {
    const isOurs = this.entries.some((entry) => entry.local_id === local_id && entry.conversation_id === conversation_id);
    if (!isOurs || !local_id) return;
    this.remove(local_id);
    this.pump();
  }

  /** Sends what can be sent: of each conversation one message at a time, in order, and one note. */
  pump(): void {
    if (!this.#post.isOnline()) return;
    const taken = new Set<string>();
    for (const entry of this.entries) {
      const queue = `${entry.conversation_id} ${modeOf(entry)}`;
      if (entry.state === "failed" || taken.has(queue)) continue;
      taken.add(queue);
      if (entry.state === "waiting") this.#send(entry);
    }
  }

  #send(entry: Outgoing): void {
    this.#change(entry.local_id, { state: "sending" });
    this.#post.send(entry, (answer) => this.#answered(entry, answer));
  }

  #answered(entry: Outgoing, answer: Answer): void {
    const { local_id } = entry;
    if (!this.entries.some((known) => known.local_id === local_id)) return;
    if (answer.kind === "done") {
      this.remove(local_id);
      if (modeOf(entry) === "note") this.#post.noted((answer.payload as ActivityAnswer).activity);
      else this.#post.stored((answer.payload as SentMessage).message);
    } else if (answer.kind === "lost") {
      this.#change(local_id, answer.isLate ? { state: "failed", why: words.receipt.noAnswer } : { state: "waiting" });
    } else if (answer.code === "RATE_LIMITED") {
      this.#wait(local_id, answer.retryAfterMs ?? RETRY_MS);
    } else if (passes(answer.code) && this.#tried(local_id) < TRIES) {
      this.#wait(local_id, RETRY_MS * 2 ** this.#tried(local_id));
      this.#tries.set(local_id, this.#tried(local_id) + 1);
    } else {
      this.#change(local_id, { state: "failed", why: reason(answer.code, answer.message) });
    }
    this.pump();
  }

  #tried(local_id: string): number {
    return this.#tries.get(local_id) ?? 0;
  }

  #wait(local_id: string, ms: number): void {
    this.#change(local_id, { state: "slow", until: this.#post.now() + ms });
    this.#post.later(ms, () => {
      if (this.entries.some((entry) => entry.local_id === local_id && entry.state === "slow")) {
        this.#change(local_id, { state: "waiting" });
        this.pump();
      }
    });
  }

  #change(local_id: string, change: Partial<Outgoing>): void {
    this.entries = this.entries.map((entry) => {
      if (entry.local_id !== local_id) return entry;
      const { why: _why, until: _until, ...rest } = entry;
      const changed = { ...rest, ...change };
      this.#keep(changed);
      return changed;
    });
  }

  #keep(entry: Outgoing): void {
    this.#kept.set(this.#prefix + entry.local_id, JSON.stringify(entry));
  }
}

/** What another page of this browser, or this one before, has written. Whatever it was doing, it waits now. */
function read(text: string | undefined): Outgoing | undefined {
  try {
    const entry = JSON.parse(text ?? "") as Outgoing;
    const isOne = [entry.local_id, entry.conversation_id, entry.body, entry.at].every((field) => typeof field === "string");
    if (!isOne) return undefined;
    return entry.state === "failed" ? entry : { ...entry, state: "waiting" };
  } catch {
    return undefined;
  }
}

const modeOf = ({ mode }: Outgoing): Mode => mode ?? "reply";

const passes = (code: string) => ["SERVER_ERROR", "AUTH_ERROR", "SHUTTING_DOWN"].includes(code);

function reason(code: string, message: string): string {
  switch (code) {
    case "CONVERSATION_NOT_FOUND":
      return words.receipt.gone;
    case "FORBIDDEN":
      return words.receipt.notAllowed;
    case "MESSAGE_TOO_LONG":
      return words.receipt.tooLong;
    default:
      return words.receipt.other(message);
  }
}
