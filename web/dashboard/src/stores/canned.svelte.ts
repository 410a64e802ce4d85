// What the team writes again and again: read when it is first wanted, looked through here, filled in when it is inserted.
import type { CannedReply } from "../../../wire/generated/protocol.ts";
import type { Ask, Failed } from "../api.ts";

const PAGE = 200;
/** How many are offered at once. */
const OFFERED = 8;

/** What is known when a text is inserted. */
export interface Known {
  "person.name"?: string | undefined;
  "person.email"?: string | undefined;
  "agent.name"?: string | undefined;
}

/** The text with what is known in it; `{{person.name|there}}` is `there` where it is not known. */
export function fill(text: string, known: Known): string {
  return text.replace(/\{\{([^{}|]*)(?:\|([^{}]*))?\}\}/g, (_all, name: string, otherwise: string | undefined) => {
    const key = name.trim();
    return (Object.hasOwn(known, key) ? known[key as keyof Known] : undefined) ?? otherwise ?? "";
  });
}

/** What is looked for: what follows a `/` before the cursor, at the beginning or behind a space. */
export function askedFor(text: string, cursor: number): { from: number; what: string } | undefined {
  const found = /(?:^|\s)\/(\S*)$/u.exec(text.slice(0, cursor));
  return found ? { from: cursor - (found[1] ?? "").length - 1, what: found[1] ?? "" } : undefined;
}

export class Canned {
  replies = $state.raw<readonly CannedReply[]>([]);
  #ask: Ask;
  #reading: Promise<Failed | undefined> | undefined;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** Reads all of them anew; what is there stays until then, and where it could not be read. */
  async load(): Promise<Failed | undefined> {
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /** The same after something was changed: what is being read already may be from before. */
  async loadAnew(): Promise<Failed | undefined> {
    await this.#reading;
    return this.load();
  }

  async #read(): Promise<Failed | undefined> {
    const all: CannedReply[] = [];
    for (;;) {
      const after = all.at(-1)?.shortcut ?? "";
      const outcome = await this.#ask("GET /v1/admin/canned-replies", { query: { after, limit: PAGE } });
      if (!outcome.ok) return outcome.failed;
      all.push(...outcome.answer.canned_replies);
      if (outcome.answer.has_more) continue;
      this.replies = all;
      return undefined;
    }
  }

  /** Those that fit: whose shortcut begins so first, then those in which it stands. */
  find(what: string): CannedReply[] {
    const wanted = what.toLocaleLowerCase();
    const begins = this.replies.filter(({ shortcut }) => shortcut.startsWith(wanted));
    const has = this.replies.filter(
      ({ shortcut, text }) => !shortcut.startsWith(wanted) && (shortcut.includes(wanted) || text.toLocaleLowerCase().includes(wanted)),
    );
    return [...begins, ...has].slice(0, OFFERED);
  }
}
