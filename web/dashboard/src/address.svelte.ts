// Where we are: the address is the truth, and the browser's own keys and buttons work.
import { VIEWS, type ViewName } from "./stores/inbox.svelte.ts";

const ROOT = "/dashboard";

export interface Place {
  view: ViewName;
  conversation?: string;
  /** The person has a page of their own on a phone. */
  isPerson: boolean;
}

export function parse(path: string): Place {
  const [view, conversation, rest] = path.slice(ROOT.length).split("/").filter(Boolean).map(decoded);
  const known = VIEWS.find((name) => name === view) ?? "all";
  return { view: known, ...(conversation ? { conversation } : {}), isPerson: rest === "person" };
}

export function format({ view, conversation, isPerson }: Omit<Place, "isPerson"> & { isPerson?: boolean }): string {
  const parts = [ROOT, view, ...(conversation ? [encodeURIComponent(conversation)] : []), ...(conversation && isPerson ? ["person"] : [])];
  return parts.join("/");
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The place that the page shows. */
export class Address {
  place = $state.raw<Place>({ view: "all", isPerson: false });
  /** The code of the link by which the page was opened, until it is used or given up. */
  code = $state<string | undefined>(undefined);

  constructor() {
    this.#look();
    addEventListener("popstate", () => this.#look());
    // A link that is pasted where the page is open already.
    addEventListener("hashchange", () => this.#look());
  }

  go(place: Omit<Place, "isPerson"> & { isPerson?: boolean }, how: "push" | "replace" = "push"): void {
    const path = format(place);
    if (path !== location.pathname) {
      if (how === "push") history.pushState({ isOurs: true }, "", path);
      else history.replaceState(history.state, "", path);
    }
    this.place = parse(path);
  }

  /** Back to where we came from; who came by the address itself goes to this place instead of leaving. */
  back(place: Omit<Place, "isPerson">): void {
    if ((history.state as { isOurs?: boolean } | null)?.isOurs) history.back();
    else this.go(place, "replace");
  }

  /** A click on a link of ours: here, unless it is meant for another tab or window. */
  follow(event: MouseEvent, place: Omit<Place, "isPerson"> & { isPerson?: boolean }): void {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.go(place);
  }

  #look(): void {
    this.place = parse(location.pathname);
    const code = new URLSearchParams(location.hash.slice(1)).get("code");
    if (!code) return;
    this.code = code;
    // It is good once, but nobody should find it in the history.
    history.replaceState(history.state, "", location.pathname + location.search);
  }
}
