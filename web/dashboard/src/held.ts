// Rows in the order that they had, for as long as somebody may be about to click.
import type { Row } from "./stores/inbox.svelte.ts";

/** The rows as they are now in the order as it was. Who has come since is not among them, and who has gone isn't either. */
export function order(rows: readonly Row[], held: readonly string[]): readonly Row[] {
  const now = new Map(rows.map((row) => [row.id, row]));
  const kept = held.flatMap((id) => now.get(id) ?? []);
  // What was loaded below belongs to the list in any order.
  const known = new Set(held);
  const last = kept.at(-1);
  const below = last ? rows.slice(rows.indexOf(last) + 1).filter(({ id }) => !known.has(id)) : rows;
  return [...kept, ...below];
}

/** How many would stand above somebody who is above them, or are not there yet. */
export function movedUp(rows: readonly Row[], shown: readonly Row[]): number {
  const places = new Map(shown.map((row, index) => [row.id, index]));
  let count = 0;
  let nearest = Infinity;
  for (const row of [...rows].reverse()) {
    const was = places.get(row.id) ?? Infinity;
    if (was > nearest || was === Infinity) count += 1;
    else nearest = was;
  }
  return count;
}
