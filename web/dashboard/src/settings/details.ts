// What the audit log has beside an act, in a few words.
import type { Role } from "../../../wire/generated/protocol.ts";
import { words } from "../words.ts";

/** What is told already, or says nothing to anybody. */
const LEFT_OUT = new Set(["email", "first_run"]);

export function detailsOf(details: Record<string, unknown> | null | undefined, nameOf: (id: string) => string | undefined): string {
  return Object.entries(details ?? {})
    .filter(([key, value]) => !LEFT_OUT.has(key) && value !== null && value !== undefined && value !== "")
    .map(([key, value]) => {
      const text = typeof value === "string" ? (nameOf(value) ?? value) : JSON.stringify(value);
      if (key === "to") return words.settings.audit.to(text);
      if (key === "role") return words.settings.team.roles[value as Role] ?? text;
      if (key === "name") return text;
      return `${key.replaceAll("_", " ")}: ${text}`;
    })
    .join(words.comma);
}
