import { beforeEach, describe, expect, it } from "vitest";
import type { Session } from "../../../wire/generated/protocol.ts";
import type { Answered } from "../../../wire/src/browser.ts";
import { Sessions, sought } from "./sessions.svelte.ts";

const key = (count: number) => `con_${String(count).padStart(6, "0")}`;
const session = (count: number, device = `d${count}`, name?: string): Session => ({
  app_id: "app_1",
  connection_id: key(count),
  device_id: device,
  connected_at: new Date(Date.UTC(2027, 0, 1) + count * 1000).toISOString(),
  ...(name ? { user_info: { user_id: `usr_${device}`, name } } : {}),
});

let now: number;
let timers: { at: number; run: () => void }[];
let asked: { after: string; answer: (answer: Answered<"sessions:list">) => void }[];
let sessions: Sessions;

/** Time goes on, and what is due is done. */
function pass(ms: number) {
  const end = now + ms;
  for (;;) {
    const next = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
    if (!next) break;
    timers.splice(timers.indexOf(next), 1);
    now = next.at;
    next.run();
  }
  now = end;
}

const answer = (list: Session[], has_more = false) => asked.shift()?.answer({ kind: "done", payload: { sessions: list, has_more } } as Answered<"sessions:list">);
const shown = () => sessions.rows.map(({ id, state, connections }) => `${id} ${state} ${connections}`);
const leave = (count: number, device = `d${count}`) => sessions.disconnected({ app_id: "app_1", connection_id: key(count), device_id: device, reason: "transport close" });

beforeEach(() => {
  now = 0;
  timers = [];
  asked = [];
  sessions = new Sessions({
    page: (after, _limit, answered) => void asked.push({ after, answer: answered }),
    later: (ms, run) => void timers.push({ at: now + ms, run }),
    now: () => now,
  });
  sessions.load();
});

describe("sessions", () => {
  it("are read page by page, and who came last is first", () => {
    answer([session(1), session(2)], true);
    expect(asked[0]?.after).toBe(key(2));
    answer([session(3), session(4, "d1")]);
    pass(100);
    expect(shown()).toEqual(["d3 here 1", "d2 here 1", "d1 here 2"]);
    expect([sessions.connections, sessions.hasLoaded]).toEqual([4, true]);
  });

  it("are green for two seconds when they come and grey for five before they go", () => {
    answer([session(1)]);
    sessions.connected(session(2));
    pass(100);
    expect(shown()).toEqual(["d2 fresh 1", "d1 here 1"]);
    pass(1_800);
    expect(shown()[0]).toBe("d2 fresh 1");
    pass(300);
    expect(shown()[0]).toBe("d2 here 1");
    leave(1);
    pass(4_900);
    expect(shown()).toEqual(["d2 here 1", "d1 gone 0"]);
    pass(300);
    expect(shown()).toEqual(["d2 here 1"]);
    expect(sessions.arrived).toBe(1);
  });

  it("keep a device's row while it has another connection, and where it comes back in time", () => {
    answer([session(1), session(2, "d1"), session(3)]);
    leave(1, "d1");
    pass(100);
    expect(shown()).toEqual(["d3 here 1", "d1 here 1"]);
    leave(2, "d1");
    pass(3_000);
    sessions.connected(session(9, "d1"));
    pass(100);
    expect(shown()).toEqual(["d3 here 1", "d1 fresh 1"]);
    pass(10_000);
    expect(shown()).toEqual(["d3 here 1", "d1 here 1"]);
  });

  it("are not there twice, nor again, when events and pages cross", () => {
    sessions.connected(session(5));
    leave(1);
    answer([session(1), session(2)], true);
    leave(2);
    answer([session(5)]);
    pass(6_000);
    expect(shown()).toEqual(["d5 here 1"]);
    expect(sessions.connections).toBe(1);
  });

  it("after an absence are those who are there now", () => {
    answer([session(1), session(2)]);
    pass(100);
    sessions.load();
    sessions.connected(session(4));
    answer([session(2), session(3)]);
    pass(100);
    expect(shown()).toEqual(["d4 fresh 1", "d3 here 1", "d2 here 1"]);
  });

  it("drop what an earlier connection's page tells", () => {
    const [first] = asked;
    sessions.load();
    first?.answer({ kind: "done", payload: { sessions: [session(9)], has_more: false } } as Answered<"sessions:list">);
    expect(sessions.hasLoaded).toBe(false);
  });

  it("ask for a page again that was refused", () => {
    asked.shift()?.answer({ kind: "failed", code: "RATE_LIMITED", message: "", retryAfterMs: 700 } as Answered<"sessions:list">);
    expect(sessions.hasFailed).toBe(true);
    pass(600);
    expect(asked.length).toBe(0);
    pass(100);
    answer([session(1)]);
    pass(100);
    expect([shown(), sessions.hasFailed]).toEqual([["d1 here 1"], false]);
  });

  it("take a name that is told later, and a word that nobody is there any more", () => {
    answer([session(1), session(2, "d1")]);
    sessions.presence({ app_id: "app_1", device_id: "d1", is_online: true, active_connections: 2, user_info: { user_id: "u", name: "Élodie" } });
    pass(100);
    expect(sought(sessions.rows, "elo", "everybody").length).toBe(1);
    sessions.presence({ app_id: "app_1", device_id: "d1", is_online: false, active_connections: 0 });
    pass(100);
    expect(shown()).toEqual(["d1 gone 0"]);
  });

  it("are found by name, id and device", () => {
    answer([session(1, "phone", "Leila Haddad"), session(2, "web-7")]);
    pass(100);
    const found = (text: string, who: "everybody" | "named" | "nameless" = "everybody") => sought(sessions.rows, text, who).map(({ id }) => id);
    expect([found("HADDAD"), found("usr_ph"), found("web"), found("x")]).toEqual([["phone"], ["phone"], ["web-7"], []]);
    expect([found("", "named"), found("", "nameless"), found("")]).toEqual([["phone"], ["web-7"], ["web-7", "phone"]]);
  });

  it("are a hundred thousand without anybody waiting", () => {
    const began = performance.now();
    for (let page = 0; page < 100; page++) {
      answer(Array.from({ length: 1_000 }, (_, index) => session(page * 1_000 + index)), page < 99);
      pass(20);
    }
    pass(100);
    expect(sessions.rows.length).toBe(100_000);
    const loaded = performance.now();
    for (let count = 0; count < 200; count++) {
      sessions.connected(session(100_000 + count));
      leave(count);
    }
    pass(200);
    const done = performance.now();
    expect(sessions.rows[0]?.id).toBe("d100199");
    expect([loaded - began < 4_000, done - loaded < 400]).toEqual([true, true]);
  });
});
