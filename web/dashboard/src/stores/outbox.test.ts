import { beforeEach, describe, expect, it } from "vitest";
import type { Message } from "../../../wire/generated/protocol.ts";
import type { Answer } from "../../../wire/src/browser.ts";
import { words } from "../words.ts";
import { Memory } from "./kept.ts";
import { Outbox, type Outgoing } from "./outbox.svelte.ts";

class Bench {
  kept = new Memory();
  isOnline = true;
  now = Date.UTC(2027, 0, 1);
  sent: Outgoing[] = [];
  answers: ((answer: Answer) => void)[] = [];
  later: { ms: number; run: () => void }[] = [];
  stored: string[] = [];
  names = 0;
  outbox = this.open();

  /** As after a reload: what was kept is there, what was under way isn't. */
  open(): Outbox {
    this.outbox = new Outbox(this.kept, "agt_1", {
      send: (outgoing, answer) => {
        this.sent.push(outgoing);
        this.answers.push(answer);
      },
      isOnline: () => this.isOnline,
      later: (ms, run) => void this.later.push({ ms, run }),
      now: () => this.now++,
      name: () => `l${++this.names}`,
      stored: ({ local_id }) => void this.stored.push(local_id),
      noted: ({ local_id }) => void this.stored.push(`note ${local_id}`),
    });
    return this.outbox;
  }

  done() {
    const { local_id, conversation_id, mode } = this.sent[this.sent.length - this.answers.length] as Outgoing;
    const stored = { local_id, conversation_id };
    this.answers.shift()?.({ kind: "done", payload: mode === "note" ? { activity: stored } : { message: stored as Message } });
  }
  failed(code: string, retryAfterMs?: number) {
    this.answers.shift()?.({ kind: "failed", code, message: "no luck", retryAfterMs });
  }
  lost(isLate = false) {
    this.answers.shift()?.({ kind: "lost", isLate });
  }
  states() {
    return this.outbox.entries.map(({ body, state }) => `${body} ${state}`);
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe("the outbox", () => {
  it("sends notes beside messages, and takes none for the other", () => {
    bench.outbox.send("c", "to Ann");
    bench.outbox.send("c", "for the team", "note");
    bench.outbox.send("c", "for the team too", "note");
    expect(bench.sent.map(({ body, mode }) => `${mode}: ${body}`)).toEqual(["reply: to Ann", "note: for the team"]);
    bench.done();
    bench.done();
    expect(bench.sent.map(({ mode }) => mode)).toEqual(["reply", "note", "note"]);
    expect(bench.stored).toEqual(["l1", "note l2"]);
    // Over a reload it is still for whom it was.
    bench.answers = [];
    expect(bench.open().of("c", "reply")).toEqual([]);
    expect(bench.outbox.of("c", "note").map(({ body }) => body)).toEqual(["for the team too"]);
    bench.outbox.pump();
    expect(bench.sent.at(-1)).toMatchObject({ mode: "note", local_id: "l3" });
  });

  it("sends one of a conversation at a time, in order, and others beside it", () => {
    for (const [where, body] of [["c", "1"], ["c", "2"], ["d", "3"]] as const) bench.outbox.send(where, body);
    expect(bench.sent.map(({ body }) => body)).toEqual(["1", "3"]);
    bench.done();
    expect(bench.sent.map(({ body }) => body)).toEqual(["1", "3", "2"]);
    expect(bench.states()).toEqual(["2 sending", "3 sending"]);
  });

  it("keeps what is written without a connection, over a reload, and sends it under the same name", () => {
    bench.isOnline = false;
    bench.outbox.send("c", "1");
    bench.outbox.send("c", "2");
    bench.open();
    expect(bench.states()).toEqual(["1 waiting", "2 waiting"]);
    bench.isOnline = true;
    bench.outbox.pump();
    bench.done();
    bench.done();
    expect(bench.sent.map(({ local_id }) => local_id)).toEqual(["l1", "l2"]);
    expect(bench.kept.keys("")).toEqual([]);
    expect(bench.stored).toEqual(["l1", "l2"]);
  });

  it("sends again what was not answered when the connection ended", () => {
    bench.outbox.send("c", "1");
    bench.isOnline = false;
    bench.lost();
    expect(bench.states()).toEqual(["1 waiting"]);
    bench.isOnline = true;
    bench.outbox.pump();
    expect(bench.sent.map(({ local_id }) => local_id)).toEqual(["l1", "l1"]);
  });

  it("is told of a message by the room before its own answer", () => {
    bench.outbox.send("c", "1");
    bench.outbox.send("c", "2");
    bench.outbox.saw({ local_id: "l1", conversation_id: "c" } as Message);
    expect(bench.states()).toEqual(["2 sending"]);
    bench.done();
    expect(bench.states()).toEqual(["2 sending"]);
  });

  it("says what failed and why, and goes on with the next", () => {
    bench.outbox.send("c", "1");
    bench.outbox.send("c", "2");
    bench.failed("FORBIDDEN");
    expect(bench.states()).toEqual(["1 failed", "2 sending"]);
    expect(bench.outbox.entries[0]?.why).toBe(words.receipt.notAllowed);
    bench.outbox.again("l1");
    bench.done();
    bench.done();
    expect(bench.sent.map(({ body }) => body)).toEqual(["1", "2", "1"]);
    expect(bench.outbox.entries).toEqual([]);
  });

  it("gives up an answer that takes too long, and says so", () => {
    bench.outbox.send("c", "1");
    bench.lost(true);
    expect(bench.outbox.entries[0]).toMatchObject({ state: "failed", why: words.receipt.noAnswer });
    bench.outbox.remove("l1");
    expect(bench.kept.keys("")).toEqual([]);
  });

  it("waits as long as the server says", () => {
    bench.outbox.send("c", "1");
    bench.outbox.send("c", "2");
    bench.failed("RATE_LIMITED", 40);
    expect(bench.states()).toEqual(["1 slow", "2 waiting"]);
    expect(bench.later[0]?.ms).toBe(40);
    bench.later[0]?.run();
    expect(bench.states()).toEqual(["1 sending", "2 waiting"]);
  });

  it("tries what may pass by itself three times", () => {
    bench.outbox.send("c", "1");
    for (let tries = 0; tries < 3; tries++) {
      bench.failed("SERVER_ERROR");
      expect(bench.states()).toEqual(["1 slow"]);
      bench.later.at(-1)?.run();
    }
    expect(bench.later.map(({ ms }) => ms)).toEqual([1000, 2000, 4000]);
    bench.failed("SERVER_ERROR");
    expect(bench.states()).toEqual(["1 failed"]);
  });

  it("reads nothing that others have written", () => {
    bench.kept.set("replyhq.outbox.agt_1.x", "{");
    bench.kept.set("replyhq.outbox.agt_1.y", '{"local_id":1}');
    bench.kept.set("replyhq.outbox.agt_2.z", JSON.stringify({ local_id: "z", conversation_id: "c", body: "b", at: "t", state: "waiting" }));
    expect(bench.open().entries).toEqual([]);
  });
});
