import { beforeEach, describe, expect, it } from "vitest";
import type { Activity, JoinedAsAgent, Message } from "../../../wire/generated/protocol.ts";
import type { Answered } from "../../../wire/src/browser.ts";
import type { Ask } from "../api.ts";
import { Thread } from "./thread.svelte.ts";

const message = (seq: number, more: Partial<Message> = {}): Message => ({
  id: `m${seq}`,
  local_id: `l${seq}`,
  conversation_id: "c",
  seq,
  body: `text ${seq}`,
  sender: "user",
  created_at: new Date(Date.UTC(2027, 0, 1, 10, seq)).toISOString(),
  status: "sent",
  ...more,
});

const none = { user_delivered_seq: 0, user_read_seq: 0, agent_delivered_seq: 0, agent_read_seq: 0 };

const note = (n: number): Activity => ({
  conversation_id: "c",
  n,
  kind: "note",
  at: new Date(Date.UTC(2027, 0, 1, 10, n)).toISOString(),
  body: `note ${n}`,
  local_id: `n${n}`,
});

/** A server with messages 1 to `last`, and notes 1 to `lastNote`. */
class Server {
  last = 0;
  lastNote = 0;
  fails: string | undefined;
  joins: string[] = [];
  joinedBehind: number[] = [];
  answers: ((answer: Answered<"conversation:join">) => void)[] = [];
  later: (() => void)[] = [];

  thread = new Thread("c", {
    ask: (async (route: string, { query }: { query: { before: string; limit: number } }) => {
      if (this.fails) return { ok: false, failed: { code: this.fails, message: "" } };
      if (route.endsWith("/activity")) {
        const end = query.before === undefined ? this.lastNote : Number(query.before) - 1;
        const start = Math.max(1, end - query.limit + 1);
        const activity = range(start, end).map(({ seq }) => note(seq));
        return { ok: true, answer: { activity, has_more: start > 1, last_activity: this.lastNote } };
      }
      const end = query.before === "" ? this.last : Number(query.before.slice(1)) - 1;
      const start = Math.max(1, end - query.limit + 1);
      return { ok: true, answer: { messages: range(start, end), has_more: start > 1 } };
    }) as unknown as Ask,
    join: (_id, after, afterActivity, answer) => {
      this.joins.push(after);
      this.joinedBehind.push(afterActivity);
      this.answers.push(answer);
    },
    later: (_ms, run) => void this.later.push(run),
  });

  joined(messages: Message[] = [], more: Partial<JoinedAsAgent> = {}) {
    this.answers.shift()?.({ kind: "done", payload: { last_seq: this.last, last_activity: 0, messages, has_more: false, receipts: none, ...more } });
  }
}

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => message(from + index));

let server: Server;
let thread: Thread;
const seqs = () => thread.messages.map(({ seq }) => seq);
const noHole = () => expect(seqs()).toEqual(range(seqs()[0] ?? 1, seqs().at(-1) ?? 0).map(({ seq }) => seq));

beforeEach(() => {
  server = new Server();
  thread = server.thread;
});

async function opened(last: number) {
  server.last = last;
  await thread.open();
  server.joined();
}

describe("a thread", () => {
  it("has what happened since its first message, and takes the rest in order", async () => {
    server.lastNote = 130;
    await opened(120);
    const ns = () => thread.activity.map(({ n }) => n);
    await new Promise((done) => setTimeout(done, 0));
    // Message 71 is the first; note 70 is the last that is older, and is read with its page.
    expect([ns()[0], ns().at(-1), server.joinedBehind]).toEqual([31, 130, [130]]);
    await thread.earlier();
    await thread.earlier();
    await new Promise((done) => setTimeout(done, 0));
    expect(ns()).toEqual(range(1, 130).map(({ seq }) => seq));
    thread.happened(note(131));
    thread.happened(note(131));
    thread.happened(note(133));
    expect([ns().at(-1), server.joinedBehind.at(-1)]).toEqual([131, 131]);
    server.joined([], { activity: [note(131), note(132), note(133)], has_more_activity: false });
    expect(ns()).toEqual(range(1, 133).map(({ seq }) => seq));
  });

  it("begins anew where less has happened than it has", async () => {
    server.lastNote = 4;
    await opened(2);
    server.lastNote = 1;
    await thread.open();
    server.answers.shift()?.({ kind: "failed", code: "ACTIVITY_NOT_FOUND", message: "", retryAfterMs: undefined });
    await new Promise((done) => setTimeout(done, 0));
    expect(thread.activity.map(({ n }) => n)).toEqual([1]);
  });

  it("begins with the newest page and joins behind it", async () => {
    await opened(120);
    expect(seqs()[0]).toBe(71);
    expect(server.joins).toEqual(["m120"]);
    expect([thread.hasEarlier, thread.isCaughtUp, thread.state]).toEqual([true, true, "ready"]);
    await thread.earlier();
    await thread.earlier();
    expect(seqs().length).toBe(120);
    expect(thread.hasEarlier).toBe(false);
    noHole();
  });

  it("takes each message once, in order, and asks for what is missing", async () => {
    await opened(3);
    thread.take(message(4));
    thread.take(message(4));
    thread.take(message(2));
    thread.take(message(7));
    expect(seqs()).toEqual([1, 2, 3, 4]);
    expect(server.joins).toEqual(["m3", "m4"]);
    server.joined(range(5, 7));
    expect(seqs()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("catches up page by page after an absence", async () => {
    await opened(3);
    await thread.open();
    server.joined(range(4, 53), { has_more: true });
    server.joined(range(54, 60));
    expect(server.joins).toEqual(["m3", "m3", "m53"]);
    expect(seqs().length).toBe(60);
    noHole();
  });

  it("does not know how far others have read until it has joined again", async () => {
    await opened(3);
    await thread.open();
    expect(thread.isCaughtUp).toBe(false);
    server.joined([], { receipts: { ...none, agent_read_seq: 3 } });
    expect([thread.isCaughtUp, thread.receipts.agent_read_seq]).toEqual([true, 3]);
  });

  it("begins anew when the server has another history", async () => {
    await opened(5);
    server.last = 2;
    await thread.open();
    server.answers.shift()?.({ kind: "failed", code: "MESSAGE_NOT_FOUND", message: "", retryAfterMs: undefined });
    await new Promise((done) => setTimeout(done, 0));
    expect(seqs()).toEqual([1, 2]);
  });

  it("says when there is none, and when it could not be loaded", async () => {
    server.fails = "CONVERSATION_NOT_FOUND";
    await thread.open();
    expect(thread.state).toBe("missing");
    server.fails = "UNREACHABLE";
    await thread.open();
    expect(thread.state).toBe("failed");
    server.fails = undefined;
    await opened(1);
    expect(thread.state).toBe("ready");
  });

  it("waits as long as it is told to when it joins too often", async () => {
    server.last = 1;
    await thread.open();
    server.answers.shift()?.({ kind: "failed", code: "RATE_LIMITED", message: "", retryAfterMs: 30 });
    server.later.shift()?.();
    expect(server.joins.length).toBe(2);
  });

  it("only ever goes forward in what was read", async () => {
    await opened(3);
    const heard = { conversation_id: "c", status: "read" as const, by: "user" as const };
    thread.status({ ...heard, up_to_seq: 3, at: "t1" });
    thread.status({ ...heard, up_to_seq: 2, at: "t2" });
    expect(thread.receipts.user_read_seq).toBe(3);
    expect(thread.readAt).toBe("t1");
  });

  it("ends the typing with the message", async () => {
    await opened(1);
    thread.isTyping = true;
    thread.take(message(2));
    expect(thread.isTyping).toBe(false);
  });
});
