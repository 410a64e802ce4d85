// How somebody is shown who has no picture: by a tint and one or two letters.

/** One of six tints, the same for the same id everywhere and always. */
export function tint(id: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return `tint-${((hash >>> 0) % 6) + 1}`;
}

const segmenter = new Intl.Segmenter();
const first = (word: string) => segmenter.segment(word)[Symbol.iterator]().next().value?.segment ?? "";

/** The letters for a face: the first of the first and the last word, or two of a name that is written in one. */
export function initials(name: string): string {
  const parts = name.trim().split(/\s+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const [head, tail] = [parts[0], parts.at(-1)];
  if (!head || !tail) return "";
  if (/[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(head)) return [...head].slice(0, 2).join("");
  const letters = parts.length > 1 ? first(head) + first(tail) : first(head);
  return letters.toLocaleUpperCase();
}

/** The part of a name by which somebody is called; a name in one piece is all of it. */
export const callName = (name: string): string => name.trim().split(/\s+/u)[0] ?? name;
