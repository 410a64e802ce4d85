// The machine in a page: its socket, its clock, its chance, and what tells that the page was away.
import type { AdminEvents, AdminRequests } from "../generated/protocol.ts";
import { type Answer, Machine, type State } from "./machine.ts";

const PATH = "/v1/socket.io/?EIO=4&transport=websocket";

export type { Answer, State } from "./machine.ts";

type Requests = AdminRequests;
export type AdminEvent = {
  [Name in keyof AdminEvents]: { name: Name; payload: AdminEvents[Name] };
}[keyof AdminEvents];

/** What a request came to, with the answer's own type. */
export type Answered<Name extends keyof Requests> =
  | { kind: "done"; payload: Requests[Name]["answer"] }
  | Exclude<Answer, { kind: "done" }>;

/** Who is told. */
export interface Listener {
  changed(state: State): void;
  heard(event: AdminEvent): void;
}

/** An agent's connection. It is kept up until `close`. */
export class Wire {
  #machine: Machine;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #away = new AbortController();

  constructor(auth: { app_id: string; admin_token: string }, listener: Listener) {
    const port = {
      dial: () => this.#dial(),
      write: (frame: string) => this.#socket?.send(frame),
      hangUp: () => {
        this.#socket?.close();
        this.#socket = undefined;
      },
      changed: (state: State) => listener.changed(state),
      heard: (name: string, payload: unknown) => listener.heard({ name, payload } as AdminEvent),
      chance: Math.random,
    };
    this.#machine = new Machine(port, "/admin", auth);
    const { signal } = this.#away;
    const wake = () => this.#with((now) => this.#machine.wake(now));
    addEventListener("online", wake, { signal });
    addEventListener("pageshow", wake, { signal });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(), { signal });
    this.#with((now) => this.#machine.start(now));
  }

  get state(): State {
    return this.#machine.state;
  }

  /** Asks, and has the answer told once; a connection that ends loses it. */
  ask<Name extends keyof Requests>(
    name: Name,
    payload: Requests[Name]["payload"],
    answer: (answer: Answered<Name>) => void,
  ): void {
    this.#with((now) => this.#machine.ask(name, payload, now, answer as (answer: Answer) => void));
  }

  /** Says what needs no answer. */
  say<Name extends keyof Requests>(name: Name, payload: Requests[Name]["payload"]): void {
    this.#machine.say(name, payload);
  }

  /** Tries now what would be tried later. */
  tryNow(): void {
    this.#with((now) => this.#machine.wake(now));
  }

  close(): void {
    this.#away.abort();
    this.#with(() => this.#machine.stop());
  }

  #dial(): void {
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + PATH);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#with((now) => this.#machine.frame(String(data), now));
    };
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.#socket = undefined;
      this.#with((now) => this.#machine.closed(now));
    };
  }

  /** Does it, and sets the clock for what is next. */
  #with(act: (now: number) => void): void {
    act(Date.now());
    clearTimeout(this.#timer);
    const at = this.#machine.wakeAt;
    if (at < Infinity) {
      this.#timer = setTimeout(() => this.#with((now) => this.#machine.tick(now)), Math.max(0, at - Date.now()));
    }
  }
}
