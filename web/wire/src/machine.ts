// The connection as a state machine: what happened goes in, with the time; what is to be done comes out by the port. It has
// no clock, no chance, no socket and no timer of its own, so that tests can choose all four.
import { PONG, connect, event, read } from "./packet.ts";

/** How long a login may take, from dialling on. */
const LOGIN_MS = 10_000;
/** How long the other side has to show that it is there, where there is doubt. */
const PROBE_MS = 3_000;
/** How much later than promised a ping may come before there is doubt. */
const LATE_MS = 5_000;
/** A clock that is later than this has not been late, but asleep. */
const SLEPT_MS = 5_000;
/** How long an answer may take, if nothing else is said. */
const ANSWER_MS = 10_000;
/** The delay before a try is chance below this, doubled with each try that failed, up to the most. */
const FIRST_DELAY_MS = 1_000;
const MOST_DELAY_MS = 30_000;

/** With what a server says that it will never take these credentials. */
const FINAL = new Set(["INVALID_CREDENTIALS", "FORBIDDEN", "MISSING_PARAMS", "VALIDATION_ERROR"]);

/** What the machine has done to the world. */
export interface Port {
  /** Opens a WebSocket, in the place of any other. */
  dial(): void;
  write(frame: string): void;
  /** Forgets the WebSocket: nothing that it says later is heard. */
  hangUp(): void;
  /** The state is another. */
  changed(state: State): void;
  heard(name: string, payload: unknown): void;
  /** A number from 0 up to 1. */
  chance(): number;
}

export type State =
  | { kind: "stopped" }
  | { kind: "connecting" }
  | { kind: "online" }
  /** There is no connection; the next try is at this time. */
  | { kind: "waiting"; until: number }
  /** The server will never take these credentials. Nothing is tried any more. */
  | { kind: "refused"; code: string };

/** What became of a request: the server's answer, or that there is none. */
export type Answer =
  | { kind: "done"; payload: unknown }
  | { kind: "failed"; code: string; message: string; retryAfterMs: number | undefined }
  /** The connection ended, or the time for it did. What was asked may have happened. */
  | { kind: "lost"; isLate: boolean };

interface Waiting {
  until: number;
  answer: (answer: Answer) => void;
}

/** One connection to a namespace, kept up for as long as it is wanted. */
export class Machine {
  #port: Port;
  #namespace: string;
  #auth: object;
  #state: State = { kind: "stopped" };
  #failures = 0;
  /** When a login, a probe or a ping is overdue. */
  #deadline = Infinity;
  #isProbing = false;
  #silenceMs = 0;
  #lastId = 0;
  #asked = new Map<number, Waiting>();
  /** What the server asked us to wait before we come back. */
  #askedDelayMs: number | undefined;
  /** Why the server is about to put us out. */
  #refusal: string | undefined;

  constructor(port: Port, namespace: string, auth: object) {
    this.#port = port;
    this.#namespace = namespace;
    this.#auth = auth;
  }

  get state(): State {
    return this.#state;
  }

  /** When `tick` is to be called next, if nothing happens before. */
  get wakeAt(): number {
    let at = this.#state.kind === "waiting" ? this.#state.until : this.#deadline;
    for (const { until } of this.#asked.values()) at = Math.min(at, until);
    return at;
  }

  start(now: number): void {
    if (this.#state.kind !== "connecting" && this.#state.kind !== "online") this.#dial(now);
  }

  stop(): void {
    this.#end({ kind: "stopped" });
  }

  /** The WebSocket is gone, or was never there. */
  closed(now: number): void {
    if (this.#state.kind !== "connecting" && this.#state.kind !== "online") return;
    if (this.#refusal) return this.#end({ kind: "refused", code: this.#refusal });
    this.#comeBack(now);
  }

  frame(text: string, now: number): void {
    const packet = read(text, this.#namespace);
    if (this.#state.kind === "online") {
      // Whatever it says, it is there.
      this.#isProbing = false;
      this.#deadline = now + this.#silenceMs;
    }
    switch (packet.kind) {
      case "open":
        this.#silenceMs = packet.pingInterval + LATE_MS;
        return this.#port.write(connect(this.#namespace, this.#auth));
      case "ping":
        return this.#port.write(PONG);
      case "connected":
        this.#failures = 0;
        this.#askedDelayMs = undefined;
        this.#deadline = now + this.#silenceMs;
        return this.#become({ kind: "online" });
      case "refused":
        // A server whose database is away, or that has too much to do, says so once and is there a moment later.
        if (!FINAL.has(packet.code)) return this.#comeBack(now);
        return this.#end({ kind: "refused", code: packet.code });
      case "disconnected":
        if (this.#refusal) return this.#end({ kind: "refused", code: this.#refusal });
        return this.#comeBack(now);
      case "event":
        return this.#event(packet.name, packet.payload);
      case "answer":
        return this.#answer(packet.id, packet.payload);
    }
  }

  /** The machine may have slept, or the network be another: the other side has to show that it is still there. */
  wake(now: number): void {
    if (this.#state.kind === "waiting") this.#dial(now);
    else if (this.#state.kind === "online") {
      if (now >= this.#deadline) this.#dialAnew(now);
      else if (!this.#isProbing) this.#probe(now);
    }
  }

  /** Time has passed. */
  tick(now: number): void {
    for (const [id, { until, answer }] of this.#asked) {
      if (now < until) continue;
      this.#asked.delete(id);
      answer({ kind: "lost", isLate: true });
    }
    if (this.#state.kind === "waiting" && now >= this.#state.until) this.#dial(now);
    else if (now >= this.#deadline) {
      if (now >= this.#deadline + SLEPT_MS) this.#dialAnew(now);
      else if (this.#state.kind === "online" && !this.#isProbing) this.#probe(now);
      else if (this.#state.kind === "online" || this.#state.kind === "connecting") this.#comeBack(now);
    }
  }

  /** Asks, and has the answer told once. Without a connection it is lost at once. */
  ask(name: string, payload: object, now: number, answer: (answer: Answer) => void, limitMs = ANSWER_MS): void {
    if (this.#state.kind !== "online") return answer({ kind: "lost", isLate: false });
    const id = ++this.#lastId;
    this.#asked.set(id, { until: now + limitMs, answer });
    this.#port.write(event(this.#namespace, name, payload, id));
  }

  /** Says what needs no answer. Without a connection it is not said. */
  say(name: string, payload: object): void {
    if (this.#state.kind === "online") this.#port.write(event(this.#namespace, name, payload));
  }

  #dial(now: number): void {
    this.#port.hangUp();
    this.#refusal = undefined;
    this.#isProbing = false;
    this.#deadline = now + LOGIN_MS;
    this.#become({ kind: "connecting" });
    this.#port.dial();
  }

  /** The other side has long given us up: nothing is to be hoped for from this connection. */
  #dialAnew(now: number): void {
    this.#end({ kind: "connecting" });
    this.#dial(now);
  }

  #probe(now: number): void {
    this.#isProbing = true;
    this.#deadline = now + PROBE_MS;
    this.#port.write(event(this.#namespace, "ping", {}, 0));
  }

  #event(name: string, payload: unknown): void {
    if (name === "server:shutdown") {
      this.#askedDelayMs = (payload as { reconnect_delay_ms: number }).reconnect_delay_ms;
    }
    if (name === "error" && (payload as { code: string }).code === "INVALID_CREDENTIALS") {
      this.#refusal = "INVALID_CREDENTIALS";
    }
    this.#port.heard(name, payload);
  }

  #answer(id: number, payload: unknown): void {
    const waiting = this.#asked.get(id);
    if (!waiting) return;
    this.#asked.delete(id);
    const { success, error, message, retry_after_ms } = payload as {
      success: boolean;
      error: string;
      message: string;
      retry_after_ms?: number;
    };
    if (success) return waiting.answer({ kind: "done", payload });
    waiting.answer({ kind: "failed", code: error, message, retryAfterMs: retry_after_ms });
  }

  /** Nothing is left of this connection; another is tried after a while. */
  #comeBack(now: number): void {
    const ceiling = Math.min(MOST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    const delay = this.#askedDelayMs ?? this.#port.chance() * ceiling;
    this.#askedDelayMs = undefined;
    this.#failures += 1;
    this.#end({ kind: "waiting", until: now + delay });
  }

  #end(state: State): void {
    this.#port.hangUp();
    this.#deadline = Infinity;
    this.#refusal = undefined;
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    this.#become(state);
    for (const { answer } of asked) answer({ kind: "lost", isLate: false });
  }

  #become(state: State): void {
    this.#state = state;
    this.#port.changed(state);
  }
}
