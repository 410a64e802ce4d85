// What went wrong with coming in, in words.
import type { Failed } from "../api.ts";
import { words } from "../words.ts";

export function told({ code, message, retryAfterMs }: Failed, wrong: string): string {
  switch (code) {
    case "INVALID_CREDENTIALS":
      return wrong;
    case "RATE_LIMITED":
      return words.sign.tooFast(Math.max(1, Math.ceil((retryAfterMs ?? 1000) / 1000)));
    case "UNREACHABLE":
    case "SERVER_ERROR":
    case "AUTH_ERROR":
    case "SHUTTING_DOWN":
      return words.sign.unreachable;
    default:
      return words.sign.refused(message);
  }
}
