// What may be wrong with a canned reply, and at which of its fields it is told.
import type { Failed } from "../api.ts";
import { BODY_CHARS, characters } from "../letters.ts";
import { told } from "../sign/told.ts";
import type { Known } from "../stores/canned.svelte.ts";
import { words } from "../words.ts";

/** What may stand in a text for what is known when it is inserted, as it is offered. */
export const VARIABLES = ["{{person.name|there}}", "{{person.email}}", "{{agent.name}}"] as const;

const KNOWN: readonly string[] = ["person.name", "person.email", "agent.name"] satisfies (keyof Known)[];
const SHORTCUT = /^[\p{Alphabetic}\p{N}_-]{1,32}$/u;

/** As it is kept: whoever looks for one types a slash before it, and so many write one here. */
export const shortcutOf = (text: string): string => text.trim().replace(/^\//, "").toLowerCase();

export function wrongShortcut(text: string): string | undefined {
  const shortcut = shortcutOf(text);
  if (!shortcut) return words.sign.missing;
  return SHORTCUT.test(shortcut) ? undefined : words.settings.canned.badShortcut;
}

export function wrongText(text: string): string | undefined {
  if (!text.trim()) return words.sign.missing;
  const over = characters(text) - BODY_CHARS;
  if (over > 0) return words.compose.tooLong(over);
  for (const [, behind = ""] of text.matchAll(/\{\{((?:(?!\{\{)[\s\S])*)/g)) {
    const end = behind.indexOf("}}");
    if (end < 0) return words.settings.canned.unclosed;
    const name = (behind.slice(0, end).split("|")[0] ?? "").trim();
    if (!KNOWN.includes(name)) return words.settings.canned.unknown(`{{${name}}}`);
  }
  return undefined;
}

/** What the server has against it, and where that is shown: at the field that it speaks of, or below all of them. */
export function refusal(failed: Failed): { at: "shortcut" | "text" | "all"; why: string } {
  const { code, message } = failed;
  if (code === "MESSAGE_TOO_LONG") return { at: "text", why: told(failed, message) };
  if (code === "NOT_FOUND") return { at: "all", why: words.settings.canned.gone };
  if (code !== "VALIDATION_ERROR" && code !== "MISSING_PARAMS") return { at: "all", why: told(failed, message) };
  if (/that shortcut already/.test(message)) return { at: "shortcut", why: words.settings.canned.taken };
  if (/shortcut/.test(message)) return { at: "shortcut", why: told(failed, message) };
  return { at: /\{\{|body|text/.test(message) ? "text" : "all", why: told(failed, message) };
}
