// Who is signed in, in all tabs of this browser.
import type { Me, SignedIn } from "../../../wire/generated/protocol.ts";
import { words } from "../words.ts";
import type { Kept } from "./kept.ts";

const KEY = "replyhq.session";

export interface SignedInAs {
  token: string;
  app_id: string;
  /** Whose drafts and outbox these are: the agent's id, or for a program's token the name that it writes under. */
  who: string;
  name: string;
  email?: string;
  /** `undefined` for a program's token. */
  agentId?: string;
  expires_at?: string;
}

export class Session {
  current = $state.raw<SignedInAs | undefined>(undefined);
  /** Why nobody is signed in any more, if that was not their own wish. */
  ended = $state<string | undefined>(undefined);
  #kept: Kept;
  #now: () => number;

  constructor(kept: Kept, now: () => number) {
    this.#kept = kept;
    this.#now = now;
    this.current = read(kept.get(KEY));
  }

  begin({ admin_token, app_id, agent, expires_at }: SignedIn): void {
    this.#begin({ token: admin_token, app_id, who: agent.id, agentId: agent.id, name: agent.name, email: agent.email, expires_at });
  }

  beginWithToken(token: string, me: Me): void {
    const { agent, app_id, name, expires_at } = me;
    this.#begin({
      token,
      app_id,
      who: agent?.id ?? `token.${app_id}.${name}`,
      name,
      ...(agent ? { agentId: agent.id, email: agent.email } : {}),
      ...(expires_at ? { expires_at } : {}),
    });
  }

  /** They wished it. */
  end(): void {
    this.current = undefined;
    this.ended = undefined;
    this.#kept.remove(KEY);
  }

  /** The server knows the token no longer. */
  refused(): void {
    const { current } = this;
    if (!current) return;
    const isOver = current.expires_at !== undefined && Date.parse(current.expires_at) <= this.#now();
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
