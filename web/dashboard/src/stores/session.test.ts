import { describe, expect, it } from "vitest";
import type { SignedIn } from "../../../wire/generated/protocol.ts";
import { words } from "../words.ts";
import { Drafts } from "./drafts.svelte.ts";
import { Lasting, Memory } from "./kept.ts";
import { Session } from "./session.svelte.ts";

const signedIn = (expires_at = "2027-01-02T00:00:00.000Z"): SignedIn => ({
  admin_token: "rhq_adm_1",
  app_id: "app_1",
  expires_at,
  agent: { id: "agt_1", name: "Ada", email: "ada@example.com", role: "agent", status: "active", availability: "online", created_at: "2027-01-01T00:00:00.000Z" },
});
const now = () => Date.UTC(2027, 0, 1);

describe("a session", () => {
  it("lasts over a reload and ends with a sign-out", () => {
    const kept = new Memory();
    new Session(kept, now).begin(signedIn());
    const again = new Session(kept, now);
    expect(again.current).toMatchObject({ token: "rhq_adm_1", who: "agt_1" });
    again.end();
    expect([again.ended, new Session(kept, now).current]).toEqual([undefined, undefined]);
  });

  it("says why it ended", () => {
    const hour = 3_600_000;
    const table = [
      [23 * hour, 23 * hour, words.ended.revoked],
      [0, 25 * hour, words.ended.expired],
      [20 * hour, 30 * hour, words.ended.revoked],
    ] as const;
    for (const [usedAfter, endedAfter, why] of table) {
      let time = now();
      const session = new Session(new Memory(), () => time);
      session.begin(signedIn());
      time = now() + usedAfter;
      session.used();
      time = now() + endedAfter;
      session.refused();
      expect([session.ended, session.current]).toEqual([why, undefined]);
    }
  });

  it("follows the other tabs", () => {
    const session = new Session(new Memory(), now);
    session.begin(signedIn());
    session.changedElsewhere("something", null);
    expect(session.current).toBeDefined();
    session.changedElsewhere("replyhq.session", null);
    expect(session.ended).toBe(words.ended.elsewhere);
  });

  it("is nobody's where what is kept is no session", () => {
    for (const text of ["", "{", "null", '{"token":1}']) {
      const kept = new Memory();
      kept.set("replyhq.session", text);
      expect(new Session(kept, now).current).toBeUndefined();
    }
  });
});

describe("drafts", () => {
  it("are one for each conversation and agent, and go with the last letter", () => {
    const kept = new Memory();
    const drafts = new Drafts(kept, "agt_1");
    drafts.set("a", "for a");
    drafts.set("b", "for b");
    expect([new Drafts(kept, "agt_1").get("a"), new Drafts(kept, "agt_2").get("a")]).toEqual(["for a", ""]);
    drafts.set("a", "");
    expect(kept.keys("replyhq.draft.agt_1.")).toEqual(["replyhq.draft.agt_1.b.reply"]);
  });

  it("outlive a storage that takes nothing for as long as the page", () => {
    const refusing = new Lasting(() => {
      throw new Error("refused");
    });
    const drafts = new Drafts(refusing, "agt_1");
    drafts.set("a", "text");
    expect(new Drafts(refusing, "agt_1").get("a")).toBe("text");
  });
});
