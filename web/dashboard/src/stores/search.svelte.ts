// What the team looks for: one question at a time, and the answers of the newest alone.
import type { SearchResult, Snippet } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";

/** How many a page has. */
const PAGE = 30;
/** How long after a letter it is asked. */
const PAUSE_MS = 200;

/** Where it is looked. */
export type Where = "all" | "open" | "resolved" | "mine";

export interface World {
  ask: Ask;
  /** The agent's own id; a program has none. */
  me: string | undefined;
  later(ms: number, run: () => void): void;
}

/** A snippet in pieces, those that were looked for marked. Its ranges count characters, and not JavaScript's units. */
export function pieces({ text, ranges }: Snippet): { text: string; isFound: boolean }[] {
  const letters = [...text];
  const all: { text: string; isFound: boolean }[] = [];
  let from = 0;
  const add = (until: number, isFound: boolean) => {
    if (until > from) all.push({ text: letters.slice(from, until).join(""), isFound });
    from = Math.max(from, until);
  };
  for (const { start, end } of ranges) {
    add(start, false);
    add(end, true);
  }
  add(letters.length, false);
  return all;
}

export class Search {
  text = $state("");
  where = $state<Where>("all");
  results = $state.raw<readonly SearchResult[]>([]);
  /** The words that the results answer, once there is an answer. */
  answered = $state<string | undefined>(undefined);
  hasMore = $state(false);
  isAsking = $state(false);
  /** Why there is no answer. */
  failed = $state<string | undefined>(undefined);
  /** Whether all that is stored can be found. */
  isComplete = $state(true);

  #world: World;
  #generation = 0;
  #cursor: string | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  /** Somebody writes: asked soon, if nothing else comes. */
  write(text: string): void {
    this.text = text;
    const generation = this.#begin();
    this.#world.later(PAUSE_MS, () => generation === this.#generation && void this.#ask(generation));
  }

  look(where: Where): void {
    this.where = where;
    void this.#ask(this.#begin());
  }

  async more(): Promise<void> {
    if (this.hasMore && !this.isAsking) await this.#ask(this.#generation);
  }

  #begin(): number {
    this.#cursor = undefined;
    this.isAsking = false;
    return ++this.#generation;
  }

  async #ask(generation: number): Promise<void> {
    const q = this.text.trim();
    if (q === "") {
      this.results = [];
      this.answered = undefined;
      this.failed = undefined;
      this.hasMore = false;
      return;
    }
    const isFirst = this.#cursor === undefined;
    this.isAsking = true;
    const outcome = await this.#world.ask("GET /v1/admin/search", {
      query: {
        q,
        limit: PAGE,
        ...(this.#cursor === undefined ? {} : { after: this.#cursor }),
        ...(this.where === "open" || this.where === "resolved" ? { status: this.where } : {}),
        ...(this.where === "mine" && this.#world.me !== undefined ? { assignee_id: this.#world.me } : {}),
      },
    });
    if (generation !== this.#generation) return;
    this.isAsking = false;
    this.failed = outcome.ok ? undefined : outcome.failed.message;
    if (!outcome.ok) return;
    const { results, has_more, next_cursor, is_complete } = outcome.answer;
    this.results = isFirst ? results : [...this.results, ...results];
    this.answered = q;
    this.#cursor = next_cursor ?? undefined;
    this.hasMore = has_more && this.#cursor !== undefined;
    this.isComplete = is_complete;
    // A page may be empty though there are more.
    if (results.length === 0 && this.hasMore) await this.#ask(generation);
  }
}
