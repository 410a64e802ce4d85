// Every contrast that the design relies on, from the tokens themselves: WCAG 2.2, 4.5 for what is read, 3 for what is only
// seen. And any accent that an operator may pick.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DEFAULT_ACCENT, accentTokens, contrast } from "../accent.ts";

type Tokens = Record<string, string>;
type Pair = [front: string, back: string, floor: number];

const css = readFileSync(new URL("tokens.css", import.meta.url), "utf8");
const blockAfter = (selector: string) => css.slice(css.indexOf(selector) + selector.length).split("}")[0] ?? "";
const tokensOf = (block: string): Tokens =>
  Object.fromEntries([...block.matchAll(/(--[\w-]+):\s*([^;]+);/g)].map(([, name, value]) => [name, value?.trim()]));
const light = tokensOf(blockAfter(':root, [data-theme="light"] {'));
const dark = tokensOf(blockAfter('[data-theme="dark"] {'));

const TEXT = 4.5;
const SHAPE = 3;
const planes = ["--ground", "--pane", "--surface", "--raised", "--sunk"];
const on = (front: string[], back: string[], floor: number): Pair[] => back.flatMap((plane) => front.map((ink): Pair => [ink, plane, floor]));
/** `+hover` lays the hover's veil over the plane. */
const PAIRS: Pair[] = [
  ...on(["--ink", "--ink-2", "--ink-3"], planes, TEXT),
  ...on(["--ink-2", "--ink-3"], ["--ground+hover", "--pane+hover", "--surface+hover"], TEXT),
  ...on(["--ink", "--ink-3"], ["--current", "--bubble", "--live-soft"], TEXT),
  ...on(["--on-inverse"], ["--inverse", "--inverse-2"], TEXT),
  ...on(["--ink", "--ink-2", "--ink-3"], ["--accent-soft"], TEXT),
  ...on(["--ink", "--ink-2"], ["--accent-soft-2"], TEXT),
  ...on(["--on-accent"], ["--accent", "--accent-hover"], TEXT),
  ...on(["--accent-text"], ["--ground", "--pane", "--surface", "--raised", "--accent-soft", "--accent-soft-2"], TEXT),
  ...on(["--live-text"], ["--live-soft", "--surface"], TEXT),
  ...on(["--ink", "--note-text"], ["--note", "--note-2"], TEXT),
  ["--note", "--note-text", TEXT],
  ...on(["--danger-text"], ["--surface", "--pane", "--danger-soft", "--accent-soft"], TEXT),
  ["--ink", "--danger-soft", TEXT],
  ["--on-danger", "--danger", TEXT],
  ["--on-mark", "--mark", TEXT],
  ...[1, 2, 3, 4, 5, 6].flatMap((n): Pair[] => [[`--tint-${n}-ink`, `--tint-${n}`, TEXT], ["--on-solid", `--tint-${n}-solid`, TEXT]]),
  ...on(["--control"], ["--surface", "--pane", "--ground", "--raised"], SHAPE),
  ...on(["--live"], ["--ground", "--pane", "--surface", "--accent-soft", "--raised"], SHAPE),
  ["--accent-text", "--note", SHAPE],
];

function over(plane: string, veil: string): string {
  const [r = 0, g = 0, b = 0, a = 0] = (veil.match(/[\d.]+/g) ?? []).map(Number);
  const mixed = [r, g, b].map((c, i) => Math.round(c * a + Number.parseInt(plane.slice(1 + 2 * i, 3 + 2 * i), 16) * (1 - a)));
  return `#${mixed.map((c) => c.toString(16).padStart(2, "0")).join("")}`;
}

function colour(tokens: Tokens, name: string): string {
  const [base = "", veil] = name.split("+");
  const plane = tokens[base] ?? "";
  return veil ? over(plane, tokens[`--${veil}`] ?? "") : plane;
}

function faults(tokens: Tokens, pairs: Pair[]): string[] {
  return pairs.flatMap(([front, back, floor]) => {
    const ratio = contrast(colour(tokens, front), colour(tokens, back));
    return ratio >= floor ? [] : [`${front} on ${back} is ${ratio.toFixed(2)}, needs ${floor}`];
  });
}

describe("the tokens", () => {
  it.each([["light", light], ["dark", dark]])("can be read, %s", (_theme, tokens) => {
    expect(faults(tokens, PAIRS)).toEqual([]);
  });

  it("are the same in the dark, whether the system or somebody chose it", () => {
    expect(tokensOf(blockAfter(":root:not([data-theme]) {"))).toEqual(dark);
  });

  it("have the accent that the rule says", () => {
    for (const [tokens, isDark] of [[light, false], [dark, true]] as const) expect(tokens).toMatchObject(accentTokens(DEFAULT_ACCENT, isDark));
  });

  it("can be read with any accent", () => {
    const channel = Array.from({ length: 9 }, (_, i) => (i * 31).toString(16).padStart(2, "0"));
    const pairs = PAIRS.filter(([front, back]) => front.includes("accent") || back.includes("accent"));
    for (const r of channel) for (const g of channel) for (const b of channel) {
      for (const [tokens, isDark] of [[light, false], [dark, true]] as const) {
        expect(faults({ ...tokens, ...accentTokens(`#${r}${g}${b}`, isDark) }, pairs), `#${r}${g}${b}`).toEqual([]);
      }
    }
  });
});
