// Where we are: the address is the truth, and the browser's own keys and buttons work.
import { VIEWS, type ViewName, tagOf } from "./stores/views.ts";

const ROOT = "/dashboard";
/** What a tag's view begins with. */
const TAG = "tag:";

export type Section = "profile" | "team" | "canned" | "app" | "tokens" | "audit" | "about";
export const SECTIONS: readonly Section[] = ["profile", "team", "canned", "app", "tokens", "audit", "about"];
/** Those for who manages the app. */
export const MANAGED: readonly Section[] = ["team", "canned", "app", "tokens", "audit"];

export interface Place {
  page: "inbox" | "sessions" | "settings";
  /** Of the inbox; on another page the one that was looked at last. */
  view: ViewName;
  conversation?: string;
  /** The person has a page of their own on a phone. */
  isPerson: boolean;
  /** Of the settings. */
  section: Section;
}

/** Where somebody may go. */
export type Target =
  | { page?: "inbox"; view: ViewName; conversation?: string; isPerson?: boolean }
  | { page: "sessions" }
  | { page: "settings"; section?: Section };

export function parse(path: string, lastView: ViewName = "all"): Place {
  const [first, second, third] = path.slice(ROOT.length).split("/").filter(Boolean).map(decoded);
  const elsewhere = { view: lastView, isPerson: false, section: SECTIONS.find((name) => name === second) ?? "profile" };
  if (first === "sessions" || first === "settings") return { page: first, ...elsewhere };
  const view = first?.startsWith(TAG) ? (first as ViewName) : (VIEWS.find((name) => name === first) ?? "all");
  return { page: "inbox", view, ...(second ? { conversation: second } : {}), isPerson: third === "person", section: "profile" };
}

export function format(target: Target): string {
  if (target.page === "sessions") return `${ROOT}/sessions`;
  if (target.page === "settings") return `${ROOT}/settings/${target.section ?? "profile"}`;
  const { view, conversation, isPerson } = target;
  const tag = tagOf(view);
  // The colon stands before the tag, which may be a dot or two.
  return [ROOT, tag === undefined ? view : `${TAG}${encodeURIComponent(tag)}`, ...(conversation ? [encodeURIComponent(conversation)] : []), ...(conversation && isPerson ? ["person"] : [])].join("/");
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
  place = $state.raw<Place>(parse(ROOT));
  /** The code of the link by which the page was opened, until it is used or given up. */
  code = $state<string | undefined>(undefined);

  constructor() {
    this.#look();
    addEventListener("popstate", () => this.#look());
    // A link that is pasted where the page is open already.
    addEventListener("hashchange", () => this.#look());
  }

  go(target: Target, how: "push" | "replace" = "push"): void {
    const path = format(target);
    if (path !== location.pathname) {
      if (how === "push") history.pushState({ isOurs: true }, "", path);
      else history.replaceState(history.state, "", path);
    }
    this.place = parse(path, this.place.view);
  }

  /** Back to where we came from; who came by the address itself goes to this place instead of leaving. */
  back(target: Target): void {
    if ((history.state as { isOurs?: boolean } | null)?.isOurs) history.back();
    else this.go(target, "replace");
  }

  /** A click on a link of ours: here, unless it is meant for another tab or window. */
  follow(event: MouseEvent, target: Target): void {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.go(target);
  }

  #look(): void {
    this.place = parse(location.pathname, this.place.view);
    const code = new URLSearchParams(location.hash.slice(1)).get("code");
    if (!code) return;
    this.code = code;
    // It is good once, but nobody should find it in the history.
    history.replaceState(history.state, "", location.pathname + location.search);
  }
}
