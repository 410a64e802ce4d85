// What was begun and not sent, by conversation and mode, kept with each letter.
import { SvelteMap } from "svelte/reactivity";
import type { Kept } from "./kept.ts";

/** What is written: to the person, or for the team alone. */
export type Mode = "reply" | "note";

/** An agent's drafts. Those of others in the same browser are not read. */
export class Drafts {
  #kept: Kept;
  #prefix: string;
  #texts = new SvelteMap<string, string>();

  constructor(kept: Kept, agent: string) {
    this.#kept = kept;
    this.#prefix = `replyhq.draft.${agent}.`;
    for (const key of kept.keys(this.#prefix)) {
      this.#texts.set(key.slice(this.#prefix.length), kept.get(key) ?? "");
    }
  }

  get(conversation: string, mode: Mode = "reply"): string {
    return this.#texts.get(`${conversation}.${mode}`) ?? "";
  }

  set(conversation: string, text: string, mode: Mode = "reply"): void {
    const name = `${conversation}.${mode}`;
    if (text === "") {
      this.#texts.delete(name);
      this.#kept.remove(this.#prefix + name);
    } else {
      this.#texts.set(name, text);
      this.#kept.set(this.#prefix + name, text);
    }
  }

  /** Another tab has written. */
  changedElsewhere(key: string, text: string | undefined): void {
    if (!key.startsWith(this.#prefix)) return;
    const name = key.slice(this.#prefix.length);
    if (text) this.#texts.set(name, text);
    else this.#texts.delete(name);
  }
}
