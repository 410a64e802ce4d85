import { describe, expect, it } from "vitest";
import type { CannedReply } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";
import { Canned, askedFor, fill } from "./canned.svelte.ts";

const reply = (shortcut: string, text = `${shortcut} text`): CannedReply => ({ id: `can_${shortcut}`, shortcut, text, created_at: "", updated_at: "" });

describe("canned replies", () => {
  it("are filled in with what is known, and with what stands for it where it is not", () => {
    const text = "Hi {{person.name|there}}, {{ agent.name }} here. {{person.email}}{{constructor}}";
    expect(fill(text, { "person.name": "Ann", "agent.name": "Ada" })).toBe("Hi Ann, Ada here. ");
    expect(fill(text, { "agent.name": "Ada", "person.email": "a@b.c" })).toBe("Hi there, Ada here. a@b.c");
  });

  it("are asked for by a slash at the cursor, and not by one within a word", () => {
    expect(askedFor("/", 1)).toEqual({ from: 0, what: "" });
    expect(askedFor("Hi /ho you", 6)).toEqual({ from: 3, what: "ho" });
    for (const text of ["and/or", "https://x", "/two words", "none"]) expect(askedFor(text, text.length)).toBeUndefined();
  });

  it("are found by the beginning of their shortcut first, over all pages", async () => {
    const pages = [["bye", "hello"], ["hours", "other hours"]];
    const canned = new Canned((async (_route: string, { query }: { query: { after: string } }) => {
      const index = query.after === "" ? 0 : 1;
      return { ok: true, answer: { canned_replies: pages[index]?.map((shortcut) => reply(shortcut)), has_more: index === 0 } };
    }) as unknown as Ask);
    await canned.load();
    expect(canned.find("h").map(({ shortcut }) => shortcut)).toEqual(["hello", "hours", "other hours"]);
    expect(canned.find("BYE T").map(({ shortcut }) => shortcut)).toEqual(["bye"]);
    expect(canned.find("nothing")).toEqual([]);
  });
});
