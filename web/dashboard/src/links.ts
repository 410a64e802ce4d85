// Addresses in what people write. No HTML is ever made of it: a message is a list of texts and links.

export type Piece = { kind: "text"; text: string } | { kind: "link"; text: string; href: string };

/** Where an address may begin; it ends at a blank or at what no address has. */
const CANDIDATE = /(?:https?:\/\/|www\.)[^\s<>"`{}|\\^\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]+|[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/giu;

/** What ends a sentence rather than an address. */
const TRAILING = /[.,:;!?'’”»…*_~。、，！？：；」』）]$/u;

const PAIRS: Record<string, string> = { ")": "(", "]": "[" };

/** The text, cut into what is a link and what is not. Joined again it is the same text. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    // Part of a word that has begun before: `xhttps://` is no address.
    const before = text[match.index - 1];
    if (before !== undefined && /[\p{L}\p{N}_@/]/u.test(before) && !isWide(before)) continue;
    const shown = trimmed(match[0]);
    const href = addressOf(shown);
    if (!href) continue;
    if (match.index > end) found.push({ kind: "text", text: text.slice(end, match.index) });
    found.push({ kind: "link", text: shown, href });
    end = match.index + shown.length;
  }
  if (end < text.length) found.push({ kind: "text", text: text.slice(end) });
  return found;
}

/** Scripts that put no blank between words. */
const isWide = (sign: string) => /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.test(sign);

/** Without the signs that belong to the sentence around it. A bracket belongs to the address that opens it. */
function trimmed(address: string): string {
  const spare = new Map(Object.entries(PAIRS).map(([closer, opener]) => [closer, count(address, closer) - count(address, opener)]));
  let end = address.length;
  for (; end > 0; end--) {
    const last = address[end - 1] as string;
    const unpaired = spare.get(last) ?? 0;
    if (unpaired > 0) spare.set(last, unpaired - 1);
    else if (!TRAILING.test(last)) break;
  }
  return address.slice(0, end);
}

const count = (text: string, sign: string) => text.split(sign).length - 1;

function addressOf(shown: string): string | undefined {
  const isMail = !/^(?:https?:\/\/|www\.)/i.test(shown);
  if (isMail) return shown.includes("@") ? `mailto:${shown}` : undefined;
  try {
    const url = new URL(/^www\./i.test(shown) ? `https://${shown}` : shown);
    // `https://bank.example@evil.example/` leads to the second of them.
    const isPlain = (url.protocol === "https:" || url.protocol === "http:") && !url.username && !url.password;
    return isPlain && (url.hostname.includes(".") || url.hostname === "localhost") ? url.href : undefined;
  } catch {
    return undefined;
  }
}
