// Who is signed in, in all tabs of this browser.
import type { Me, SignedIn } from "../../../wire/generated/protocol.ts";
import { words } from "../words.ts";
import type { Kept } from "./kept.ts";

const KEY = "replyhq.session";
/** When it was last used, by any tab. */
const USED = "replyhq.session-used";
/** How exactly that is kept. */
const USED_MS = 60_000;

export interface SignedInAs {
  token: string;
  app_id: string;
  /** Whose drafts and outbox these are: the agent's id, or for a program's token the name that it writes under. */
  who: string;
  name: string;
  email?: string;
  /** `undefined` for a program's token. */
  agentId?: string;
  /** How long it lasts from its last use. */
  lifetimeMs?: number;
  /** They may see, and not answer. A role may change: the server has the last word. */
  mayNotAnswer?: boolean;
}

export class Session {
  current = $state.raw<SignedInAs | undefined>(undefined);
  /** Why nobody is signed in any more, if that was not their own wish. */
  ended = $state<string | undefined>(undefined);
  #kept: Kept;
  #now: () => number;
  #usedAt = 0;

  constructor(kept: Kept, now: () => number) {
    this.#kept = kept;
    this.#now = now;
    this.current = read(kept.get(KEY));
  }

  begin({ admin_token, app_id, agent, expires_at }: SignedIn): void {
    this.#begin({ token: admin_token, app_id, who: agent.id, agentId: agent.id, name: agent.name, email: agent.email, lifetimeMs: Date.parse(expires_at) - this.#now(), mayNotAnswer: agent.role === "viewer" });
  }

  beginWithToken(token: string, me: Me): void {
    const { agent, app_id, name, permissions } = me;
    this.#begin({
      token,
      app_id,
      who: agent?.id ?? `token.${app_id}.${name}`,
      name,
      mayNotAnswer: !permissions.includes("send_messages"),
      ...(agent ? { agentId: agent.id, email: agent.email } : {}),
    });
  }

  /** The server has just answered. */
  used(): void {
    const now = this.#now();
    if (now - this.#usedAt < USED_MS) return;
    this.#usedAt = now;
    this.#kept.set(USED, String(now));
  }

  /** They wished it. */
  end(): void {
    this.current = undefined;
    this.ended = undefined;
    this.#kept.remove(KEY);
    this.#kept.remove(USED);
  }

  /** The server knows the token no longer. */
  refused(): void {
    const { current } = this;
    if (!current) return;
    const usedAt = Math.max(this.#usedAt, Number(this.#kept.get(USED) ?? 0));
    const isOver = current.lifetimeMs !== undefined && usedAt + current.lifetimeMs <= this.#now();
    this.end();
    this.ended = !current.agentId ? words.ended.token : isOver ? words.ended.expired : words.ended.revoked;
  }

  /** Another tab has signed in or out. */
  changedElsewhere(key: string | null, text: string | null): void {
    if (key !== KEY && key !== null) return;
    const next = read(text ?? undefined);
    if (next?.token === this.current?.token) return;
    this.ended = next ? undefined : words.ended.elsewhere;
    this.current = next;
  }

  #begin(session: SignedInAs): void {
    this.ended = undefined;
    this.current = session;
    this.#usedAt = 0;
    this.used();
    this.#kept.set(KEY, JSON.stringify(session));
  }
}

function read(text: string | undefined): SignedInAs | undefined {
  try {
    const session = JSON.parse(text ?? "") as SignedInAs;
    return [session.token, session.app_id, session.who].every((field) => typeof field === "string") ? session : undefined;
  } catch {
    return undefined;
  }
}
