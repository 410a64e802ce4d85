// What is shown of things, without a page.
import { describe, expect, it } from "vitest";
import type { Activity, Message } from "../../wire/generated/protocol.ts";
import { type Target, format, parse } from "./address.svelte.ts";
import { blocks, unreadBeyond } from "./bubbles.ts";
import { callName, initials, tint } from "./faces.ts";
import { movedUp, order } from "./held.ts";
import { characters, isComposing, isEmojiOnly } from "./letters.ts";
import type { Row } from "./stores/inbox.svelte.ts";
import { dayAndSecond, dayAndTime, dayLine, isLate, rowTime, waited } from "./times.ts";

const none = { user_delivered_seq: 0, user_read_seq: 0, agent_delivered_seq: 0, agent_read_seq: 0 };
const said = (seq: number, minute: number, sender: Message["sender"], sender_id?: string): Message => ({
  id: `m${seq}`,
  local_id: `l${seq}`,
  conversation_id: "c",
  seq,
  body: "text",
  sender,
  ...(sender_id ? { sender_id } : {}),
  created_at: new Date(2027, 0, 1, 10, minute).toISOString(),
  status: "sent",
});

describe("bubbles", () => {
  it("are grouped by speaker within five minutes, and parted by days", () => {
    const messages = [said(1, 0, "user"), said(2, 3, "user"), said(3, 9, "user"), said(4, 9, "agent", "a"), said(5, 10, "agent", "b"), said(6, 24 * 60, "agent", "b")];
    const kinds = blocks(messages, none, undefined).map((block) => (block.kind === "group" ? block.bubbles.length : block.kind));
    expect(kinds).toEqual(["day", 2, 1, 1, 1, "day", 1]);
  });

  it("have each mark once, at the last message that it covers", () => {
    const messages = [1, 2, 3, 4].map((seq) => said(seq, seq, "agent", "a"));
    const marks = blocks(messages, { ...none, user_read_seq: 2, user_delivered_seq: 3 }, undefined)
      .flatMap((block) => (block.kind === "group" ? block.bubbles.map(({ mark }) => mark) : []));
    expect(marks).toEqual([undefined, "read", "delivered", "sent"]);
  });

  it("have a line above what was unread, with how many there are", () => {
    const messages = [said(1, 0, "user"), said(2, 1, "user"), said(3, 2, "agent", "a"), said(4, 3, "user")];
    const unread = unreadBeyond(messages, 1);
    expect(unread).toEqual({ seq: 2, count: 2 });
    expect(unreadBeyond(messages, 4)).toBeUndefined();
    // What comes while one looks on is not new any more.
    const later = blocks([...messages, said(5, 4, "user")], none, unread);
    expect(later.find((block) => block.kind === "new")).toMatchObject({ count: 2 });
  });
});

describe("what happened", () => {
  const happened = (n: number, minute: number, second: number, kind: string, by?: string): Activity => ({
    conversation_id: "c",
    n,
    kind,
    at: new Date(2027, 0, 1, 10, minute, second).toISOString(),
    ...(by ? { by: { id: by, name: by } } : {}),
  });

  it("stands where it did, in one line if one did it at once, and parts what was said", () => {
    const messages = [said(1, 0, "user"), said(2, 3, "user"), said(3, 4, "user")];
    const activity = [
      happened(1, 1, 0, "assigned", "ada"),
      happened(2, 1, 30, "resolved", "ada"),
      happened(3, 3, 0, "reopened"),
      happened(4, 3, 10, "note", "ada"),
      happened(5, 3, 20, "translated", "ada"),
      happened(6, 5, 0, "assigned", "ben"),
      happened(7, 5, 1, "released", "ada"),
    ];
    const shown = blocks(messages, none, undefined, activity).map((block) =>
      block.kind === "happened" ? block.what.map(({ n }) => n) : block.kind === "group" ? block.bubbles.map(({ message }) => `m${message.seq}`) : block.kind,
    );
    expect(shown).toEqual(["day", ["m1"], [1, 2], [3], ["m2"], "note", ["m3"], [6], [7]]);
  });

  it("begins a day of its own", () => {
    const late = { ...happened(1, 0, 0, "note", "ada"), at: new Date(2027, 0, 3, 9).toISOString() };
    expect(blocks([said(1, 0, "user")], none, undefined, [late]).map(({ kind }) => kind)).toEqual(["day", "group", "day", "note"]);
  });
});

describe("addresses", () => {
  it("are read as they are written, and unknown ones lead to all", () => {
    for (const path of ["/dashboard/all", "/dashboard/resolved/conv_1", "/dashboard/all/conv_1/person", "/dashboard/all/a%2Fb", "/dashboard/mine", "/dashboard/waiting/conv_1"]) {
      expect(format(parse(path))).toBe(path);
    }
    for (const path of ["/dashboard/sessions", "/dashboard/settings/team"]) expect(format(parse(path) as Target)).toBe(path);
    expect(parse("/dashboard/settings/nowhere").section).toBe("profile");
    // Who comes back from another page comes to what they looked at.
    expect(parse("/dashboard/sessions", "waiting").view).toBe("waiting");
    for (const path of ["/dashboard", "/dashboard/", "/dashboard/nowhere", "/dashboard/%E0%A4%A"]) expect(parse(path).view).toBe("all");
  });
});

describe("letters", () => {
  it("are counted as the server counts them", () => {
    expect(["", "abc", "äöü", "👍", "👩‍👩‍👧", "𝒳"].map(characters)).toEqual([0, 3, 3, 1, 5, 1]);
  });
  it("of an input method are its own", () => {
    expect([{ isComposing: true, keyCode: 13 }, { isComposing: false, keyCode: 229 }, { isComposing: false, keyCode: 13 }].map(isComposing)).toEqual([true, true, false]);
  });
  it("are emoji alone where there are up to three and nothing else", () => {
    expect(["👍", "👩‍👩‍👧 🎉", "🔴🔴🔴", "🔴🔴🔴🔴", "ok 👍", "3", ""].map(isEmojiOnly)).toEqual([true, true, true, false, false, false, false]);
  });
});

describe("faces", () => {
  it("have letters of any script", () => {
    expect(["Leila Haddad", "山田 美咲", "Ada", "Maximiliane von Hohenberg", "  ", "🎉 Zoë", "김서연"].map(initials)).toEqual(["LH", "山田", "A", "MH", "", "Z", "김서"]);
    expect(callName("Leila Haddad")).toBe("Leila");
  });
  it("have the same tint always", () => {
    expect(tint("usr_1")).toBe(tint("usr_1"));
    expect(new Set(Array.from({ length: 100 }, (_, index) => tint(`usr_${index}`))).size).toBe(6);
  });
});

describe("times", () => {
  const now = new Date(2027, 5, 15, 12, 0).getTime();
  const iso = (...parts: [number, number, number, number, number]) => new Date(...parts).toISOString();
  it("are as short as they can be told apart", () => {
    expect(rowTime(iso(2027, 5, 15, 9, 5), now)).toBe("9:05");
    expect(rowTime(iso(2027, 5, 14, 23, 59), now)).toBe("Yesterday");
    expect(rowTime(iso(2027, 5, 1, 9, 0), now)).toBe("1 Jun");
    expect(rowTime(iso(2026, 5, 1, 9, 0), now)).toBe("1 Jun 2026");
    expect(dayAndTime(iso(2027, 5, 14, 22, 14), now)).toBe("Yesterday 22:14");
    expect(dayAndSecond(iso(2027, 5, 15, 10, 12), now)).toBe("Today 10:12:00");
    expect(dayAndSecond(iso(2026, 5, 10, 8, 1), now)).toBe("10 Jun 2026 8:01:00");
    expect(dayLine(iso(2027, 5, 15, 1, 0), now)).toBe("Today");
    expect(dayLine(iso(2027, 5, 8, 1, 0), now)).toBe("Tuesday 8 June");
  });
  it("say for how long somebody waits, and when that is too long", () => {
    const ago = (minutes: number) => new Date(now - minutes * 60_000).toISOString();
    expect([0, 4, 59, 60, 80, 1439, 1440, 2900].map((minutes) => waited(ago(minutes), now))).toEqual(["Just now", "4 min", "59 min", "1 h 00", "1 h 20", "23 h 59", "1 day", "2 days"]);
    expect([59, 60].map((minutes) => isLate(ago(minutes), now))).toEqual([false, true]);
    // Another clock may be a little ahead.
    expect(waited(ago(-1), now)).toBe("Just now");
  });
});

describe("rows under a resting pointer", () => {
  const rows = (...ids: string[]) => ids.map((id) => ({ id }) as Row);
  const ids = (list: readonly Row[]) => list.map(({ id }) => id).join("");
  it("keep their order, and say how many would have moved", () => {
    const now = rows("n", "c", "a", "b", "d");
    const shown = order(now, ["a", "b", "c", "d"]);
    expect(ids(shown)).toBe("abcd");
    expect(movedUp(now, shown)).toBe(2);
    expect(movedUp(rows("a", "b"), rows("a", "b"))).toBe(0);
    expect(ids(order(rows("a", "b", "e"), ["a", "b"]))).toBe("abe");
  });
});
