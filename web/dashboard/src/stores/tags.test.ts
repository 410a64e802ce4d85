import { describe, expect, test } from "vitest";
import type { Ask } from "../api.ts";
import { format, parse } from "../address.svelte.ts";
import { Tags } from "./tags.svelte.ts";

async function tags(names: readonly string[]): Promise<Tags> {
  const answer = { tags: names.map((tag) => ({ tag, open: 1 })) };
  const store = new Tags((() => Promise.resolve({ ok: true, answer })) as unknown as Ask);
  await store.load();
  return store;
}

describe("what may be put on a conversation", () => {
  test("is what is known and not there yet, and last what was written", async () => {
    const store = await tags(["billing", "café", "refund", "vip"]);
    expect(store.offered("", ["vip"])).toEqual(["billing", "café", "refund"]);
    expect(store.offered("  CAFE ", [])).toEqual(["café", "cafe"]);
    expect(store.offered("Refund", [])).toEqual(["refund"]);
    expect(store.offered("refund", ["refund"])).toEqual([]);
    expect(store.offered("new   one", [])).toEqual(["new one"]);
    expect(store.offered("x".repeat(33), [])).toEqual([]);
  });
});

describe("a tag's view", () => {
  test("has an address, whatever the tag is", () => {
    for (const tag of ["vip", "billing question", "50/50", "返金", "..", "%41"]) {
      const target = { view: `tag:${tag}`, conversation: "conv_1", isPerson: true } as const;
      expect(parse(format(target))).toMatchObject({ page: "inbox", ...target });
      expect(parse(format({ view: target.view }))).toMatchObject({ page: "inbox", view: target.view });
    }
  });
});
