// The app's tags: what is offered, and how many open conversations have each.
import type { KnownTag } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";
import { folded } from "./team.svelte.ts";

/** How many are offered at once. */
const OFFERED = 8;
/** Characters of a tag, at most. */
const CHARACTERS = 32;

export class Tags {
  all = $state.raw<readonly KnownTag[]>([]);
  #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async load(): Promise<void> {
    const outcome = await this.#ask("GET /v1/admin/tags");
    if (outcome.ok) this.all = outcome.answer.tags;
  }

  /** What may be put on a conversation that has these: what is known first, and then what was written, if it is new. */
  offered(text: string, has: readonly string[]): string[] {
    const written = text.trim().replace(/\s+/gu, " ").toLowerCase();
    const wanted = folded(written);
    const known = this.all.map(({ tag }) => tag).filter((tag) => !has.includes(tag) && folded(tag).includes(wanted));
    const isNew = written !== "" && [...written].length <= CHARACTERS && !has.includes(written) && !known.includes(written);
    return [...known.slice(0, OFFERED), ...(isNew ? [written] : [])];
  }
}
