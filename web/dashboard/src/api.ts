// REST, with the types of the documented routes.
import type { Routes } from "../../wire/generated/protocol.ts";

/** How long an answer may take. */
const LIMIT_MS = 15_000;
/** How long before a question that changes nothing is asked anew: the browser may have used a connection that is dead. */
const ANEW_MS = 3_000;

/** Why there is no answer of the wanted kind. */
export interface Failed {
  /** The server's own code, or `UNREACHABLE`. */
  code: string;
  message: string;
  retryAfterMs?: number | undefined;
}

export type Outcome<T> = { ok: true; answer: T } | { ok: false; failed: Failed };

type Method = "GET" | "POST" | "PATCH" | "DELETE";
/** The routes' paths, with anything where they have a parameter. */
type Filled<Path extends string> = Path extends `${infer Head}{${string}}${infer Tail}` ? `${Head}${string}${Filled<Tail>}` : Path;

interface Given<Route extends keyof Routes> {
  /** For each `{…}` of the path, in order. */
  path?: string[];
  query?: Routes[Route]["query"];
  body?: Routes[Route]["body"];
}

export type Ask = <Route extends keyof Routes>(route: Route, given?: Given<Route>) => Promise<Outcome<Routes[Route]["answer"]>>;

/** Asks as whoever `token` names now. `refused` hears of every answer that the token holds no longer. */
export function api(token: () => string | undefined, refused: () => void): Ask {
  return async <Route extends keyof Routes>(route: Route, given: Given<Route> = {}) => {
    const [method, pattern] = route.split(" ") as [Method, Filled<string>];
    const filled = [...(given.path ?? [])];
    const path = pattern.replace(/\{[^}]+\}/g, () => encodeURIComponent(filled.shift() ?? ""));
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries((given.query as Record<string, unknown>) ?? {})) {
      if (value !== undefined && value !== null) query.set(name, String(value));
    }
    const bearer = token();
    const headers: Record<string, string> = {};
    if (bearer) headers["authorization"] = `Bearer ${bearer}`;
    if (given.body !== undefined) headers["content-type"] = "application/json";
    const once = (limitMs: number) =>
      fetch(query.size > 0 ? `${path}?${query}` : path, {
        method,
        headers,
        body: given.body === undefined ? null : JSON.stringify(given.body),
        signal: AbortSignal.timeout(limitMs),
        credentials: "omit",
        cache: "no-store",
      });
    try {
      const response = method === "GET" ? await once(ANEW_MS).catch(() => once(LIMIT_MS)) : await once(LIMIT_MS);
      const answer = await response.json();
      if (response.ok) return { ok: true, answer };
      // Another token may have come while this one was asked about.
      if (response.status === 401 && bearer && bearer === token()) refused();
      return { ok: false, failed: { code: answer.code, message: answer.message, retryAfterMs: answer.retry_after_ms } };
    } catch {
      return { ok: false, failed: { code: "UNREACHABLE", message: "the server did not answer" } };
    }
  };
}
