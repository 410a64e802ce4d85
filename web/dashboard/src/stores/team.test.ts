import { describe, expect, it } from "vitest";
import type { Colleague } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";
import { Team } from "./team.svelte.ts";

const agent = (id: string, name: string, more: Partial<Colleague> = {}): Colleague => ({ id, name, role: "agent", status: "active", availability: "online", ...more });

async function team(agents: Colleague[]) {
  let asked = 0;
  const ask = (async () => {
    asked += 1;
    return { ok: true, answer: { agents } };
  }) as unknown as Ask;
  const made = new Team(ask, "me");
  await made.load();
  return { made, asked: () => asked };
}

describe("the team", () => {
  it("offers who may answer, oneself first", async () => {
    const { made } = await team([agent("b", "Ben"), agent("v", "Vera", { role: "viewer" }), agent("c", "Chidi", { status: "disabled" }), agent("d", "Dora", { status: "invited" }), agent("me", "Zoë")]);
    expect(made.answering().map(({ id }) => id)).toEqual(["me", "b"]);
  });

  it("is searched without case and accents", async () => {
    const { made } = await team([agent("e", "Élodie Vandenberghe"), agent("b", "Ben")]);
    expect(made.answering(" elo").map(({ id }) => id)).toEqual(["e"]);
    expect(made.answering("VANDEN").map(({ id }) => id)).toEqual(["e"]);
    expect(made.answering("x")).toEqual([]);
  });

  it("is asked for again for somebody who came since, once", async () => {
    const { made, asked } = await team([agent("b", "Ben")]);
    made.heardOf("b");
    expect(asked()).toBe(1);
    made.heardOf("new");
    made.heardOf("new");
    await Promise.resolve();
    made.heardOf("new");
    expect(asked()).toBe(2);
  });
});
