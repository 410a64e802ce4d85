import { beforeEach, describe, expect, it } from "vitest";
import type { ConversationUpdated } from "../../../wire/generated/protocol.ts";
import { type Browser, Notices, type Wishes } from "./notices.ts";

const updated = (id: string, seq: number, more: { assignee_id?: string; unread_count?: number; sender?: "user" | "agent" } = {}): ConversationUpdated =>
  ({
    conversation: { id, last_seq: seq, unread_count: more.unread_count ?? 1, user_name: "Leila", ...(more.assignee_id ? { assignee_id: more.assignee_id } : {}) },
    last_message: { seq, sender: more.sender ?? "user", body: `message ${seq}` },
  }) as unknown as ConversationUpdated;

let queue: (() => void)[];
let ears: Map<string, (word: never) => void>;
let shown: string[];
let rung: string[];
let locked: Set<string>;
let wishes: Wishes;
let opened: string[];

/** Tabs of one browser: the first in the queue leads. */
function tab(name: string): Notices {
  const browser: Browser = {
    tab: name,
    lead: (run) => {
      queue.push(run);
      if (queue.length === 1) run();
      return () => {
        const wasFirst = queue[0] === run;
        queue = queue.filter((other) => other !== run);
        if (wasFirst) queue[0]?.();
      };
    },
    channel: {
      post: (word) => ears.forEach((hear, other) => other !== name && hear(word as never)),
      hear: (hear) => void ears.set(name, hear as never),
      close: () => void ears.delete(name),
    },
    show: ({ conversation, body }, open) => {
      shown.push(`${name}: ${conversation} ${body}`);
      opened.push(conversation);
      void open;
      return () => (shown = shown.filter((one) => !one.startsWith(`${name}: ${conversation} `)));
    },
    ring: () => {
      if (locked.has(name)) return false;
      rung.push(name);
      return true;
    },
    ringOnce: () => {
      if (!locked.has(name) && rung.length === 0) rung.push(name);
    },
  };
  return new Notices(browser, wishes);
}

const all = (tabs: Notices[], event: ConversationUpdated) => tabs.forEach((one) => one.updated(event));

beforeEach(() => {
  [queue, ears, shown, rung, locked, opened] = [[], new Map(), [], [], new Set(), []];
  wishes = { me: "me", isAway: () => false, notifies: () => true, sounds: () => true, lastSeq: () => undefined, open: () => {} };
});

describe("notices", () => {
  it("are given by one tab for all, and by another when that one is closed", () => {
    const [one, other] = [tab("one"), tab("other")];
    all([one, other], updated("a", 1));
    expect([shown, rung]).toEqual([["one: a message 1"], ["one"]]);
    one.close();
    all([other], updated("a", 2));
    expect(shown).toEqual(["other: a message 2"]);
  });

  it("are of what is one's own or nobody's, new, and a person's", () => {
    const one = tab("one");
    one.updated(updated("ben", 1, { assignee_id: "ben" }));
    one.updated(updated("mine", 1, { assignee_id: "me" }));
    one.updated(updated("answered", 2, { sender: "agent" }));
    wishes.lastSeq = () => 3;
    one.updated(updated("assigned", 3));
    expect(shown).toEqual(["one: mine message 1"]);
  });

  it("are taken away when it is read anywhere, or opened", () => {
    const [one, other] = [tab("one"), tab("other")];
    all([one, other], updated("a", 1));
    all([one, other], updated("b", 1));
    all([one, other], updated("a", 1, { unread_count: 0 }));
    expect(shown).toEqual(["one: b message 1"]);
    other.looks(true, "b");
    expect(shown).toEqual([]);
  });

  it("are not for who looks at it in any tab, and only heard by who looks at something else", () => {
    const [one, other] = [tab("one"), tab("other")];
    other.looks(true, "a");
    all([one, other], updated("a", 1));
    expect([shown, rung]).toEqual([[], []]);
    all([one, other], updated("b", 1));
    expect([shown, rung]).toEqual([[], ["one"]]);
    other.looks(false, "a");
    all([one, other], updated("b", 2));
    expect(shown).toEqual(["one: b message 2"]);
  });

  it("are heard in another tab where the browser lets this one make no noise", () => {
    const [one, other] = [tab("one"), tab("other")];
    locked.add("one");
    all([one, other], updated("a", 1));
    expect(rung).toEqual(["other"]);
  });

  it("are not for who is away, or wants none", () => {
    const one = tab("one");
    wishes.isAway = () => true;
    one.updated(updated("a", 1));
    wishes.isAway = () => false;
    wishes.notifies = wishes.sounds = () => false;
    one.updated(updated("a", 2));
    expect([shown, rung]).toEqual([[], []]);
  });
});
