import { beforeEach, describe, expect, it } from "vitest";
import type { SearchPage, SearchResult } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";
import { Search, pieces } from "./search.svelte.ts";

const hit = (id: string) => ({ kind: "message", conversation: { id }, snippet: { text: id, ranges: [] } }) as unknown as SearchResult;

class World {
  asked: Record<string, unknown>[] = [];
  answers: ((page: SearchPage | undefined) => void)[] = [];
  later: (() => void)[] = [];
  search = new Search({
    ask: ((_route: string, { query }: { query: Record<string, unknown> }) => {
      this.asked.push(query);
      return new Promise((done) => {
        this.answers.push((page) => done(page ? { ok: true, answer: page } : { ok: false, failed: { code: "X", message: "no luck" } }));
      });
    }) as unknown as Ask,
    me: "agt_1",
    later: (_ms, run) => void this.later.push(run),
  });

  async answer(ids: string[], next_cursor?: string) {
    this.answers.shift()?.({ results: ids.map(hit), has_more: next_cursor !== undefined, next_cursor: next_cursor ?? null, is_complete: true });
    await new Promise((done) => setTimeout(done, 0));
  }
  pause() {
    for (const run of this.later.splice(0)) run();
  }
}

let world: World;
const ids = () => world.search.results.map(({ conversation }) => conversation.id);
beforeEach(() => {
  world = new World();
});

describe("the search", () => {
  it("asks once somebody pauses, and shows the answer to the last question only", async () => {
    for (const text of ["r", "re", "red"]) world.search.write(text);
    world.pause();
    expect(world.asked).toEqual([{ q: "red", limit: 30 }]);
    world.search.write("blue");
    world.pause();
    await world.answer(["old"]);
    expect(ids()).toEqual([]);
    await world.answer(["new"]);
    expect([ids(), world.search.answered]).toEqual([["new"], "blue"]);
    world.search.write(" ");
    world.pause();
    expect([ids(), world.search.answered, world.asked.length]).toEqual([[], undefined, 2]);
  });

  it("goes on behind what it has, also over a page with nothing on it", async () => {
    world.search.write("x");
    world.pause();
    await world.answer(["1"], "c1");
    void world.search.more();
    void world.search.more();
    await world.answer([], "c2");
    await world.answer(["2"]);
    expect([ids(), world.asked.map(({ after }) => after), world.search.hasMore]).toEqual([["1", "2"], [undefined, "c1", "c2"], false]);
  });

  it("looks where it is told to, and says why it could not", async () => {
    world.search.write("x");
    world.search.look("resolved");
    world.search.look("mine");
    expect(world.asked).toEqual([{ q: "x", limit: 30, status: "resolved" }, { q: "x", limit: 30, assignee_id: "agt_1" }]);
    world.answers.splice(0).at(-1)?.(undefined);
    await new Promise((done) => setTimeout(done, 0));
    expect(world.search.failed).toBe("no luck");
  });

  it("marks what was found by characters", () => {
    const snippet = { text: "👍🏽 été rouge", ranges: [{ start: 3, end: 6 }, { start: 7, end: 9 }] };
    expect(pieces(snippet)).toEqual([
      { text: "👍🏽 ", isFound: false },
      { text: "été", isFound: true },
      { text: " ", isFound: false },
      { text: "ro", isFound: true },
      { text: "uge", isFound: false },
    ]);
    expect(pieces({ text: "", ranges: [] })).toEqual([]);
  });
});
