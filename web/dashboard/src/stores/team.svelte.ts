// The agents of the app: whom a conversation is with, and to whom it can be given.
import type { Colleague } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";

/** Letters as they are compared: without case and accents. */
export const folded = (text: string): string => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase();

export class Team {
  agents = $state.raw<readonly Colleague[]>([]);
  hasLoaded = $state(false);
  hasFailed = $state(false);
  #ask: Ask;
  #me: string | undefined;
  #isLoading = false;
  /** Ids that nobody had when they were asked for: they are not asked for at each event. */
  #unknown = new Set<string>();

  constructor(ask: Ask, me: string | undefined) {
    this.#ask = ask;
    this.#me = me;
  }

  async load(): Promise<void> {
    if (this.#isLoading) return;
    this.#isLoading = true;
    const outcome = await this.#ask("GET /v1/admin/agents");
    this.#isLoading = false;
    this.hasFailed = !outcome.ok;
    if (!outcome.ok) return;
    this.agents = outcome.answer.agents;
    this.hasLoaded = true;
  }

  find(id: string): Colleague | undefined {
    return this.agents.find((agent) => agent.id === id);
  }

  /** Somebody is named: who is not known yet has come since. */
  heardOf(id: string): void {
    if (!this.hasLoaded || this.#unknown.has(id) || this.find(id)) return;
    this.#unknown.add(id);
    void this.load();
  }

  /** Who may have a conversation, oneself first; those whose name has the text in it. */
  answering(text = ""): Colleague[] {
    const wanted = folded(text.trim());
    const rank = ({ id }: Colleague) => (id === this.#me ? 0 : 1);
    return this.agents
      .filter(({ role, status, name }) => role !== "viewer" && status === "active" && folded(name).includes(wanted))
      .sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  }
}
