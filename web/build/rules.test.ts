// Rules of the pages that are worth keeping.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { words } from "../dashboard/src/words.ts";

const web = join(import.meta.dirname, "..");
const sources = ["dashboard", "wire"].flatMap((folder) =>
  readdirSync(join(web, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(svelte|ts|html|css)$/.test(name) && !name.endsWith(".test.ts"))
    .map((name) => ({ name: join(folder, name), text: readFileSync(join(web, folder, name), "utf8") })),
);

const FORBIDDEN: [string, RegExp][] = [
  ["HTML made of text", /\{@html|innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc/],
  ["an inline style or script, against the policy", /<[^>]*\sstyle="|<style|\son[a-z]+="/],
  ["code made of text", /\beval\(|new Function\(/],
  ["an address elsewhere", /(src|href|url|fetch)\s*[=(]\s*["'`]?https?:/],
  ["a data address, against the policy", /["'(]data:/],
  ["a cookie", /document\.cookie/],
  ["what is not finished", /\b(TODO|FIXME|XXX)\b/],
  ["console output", /console\./],
];

describe("the pages", () => {
  it.each(FORBIDDEN)("have nowhere %s", (_what, pattern) => {
    expect(sources.filter(({ text }) => pattern.test(text)).map(({ name }) => name)).toEqual([]);
  });

  it("name only icons that there are", () => {
    const sprite = readFileSync(join(web, "dashboard/icons.svg"), "utf8");
    const known = new Set([...sprite.matchAll(/id="i-([\w-]+)"/g)].map((match) => match[1]));
    const used = sources.flatMap(({ text }) => [...text.matchAll(/<Icon name="([\w-]+)"/g)].map((match) => match[1]));
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });

  it("use each word of the catalogue", () => {
    const all = sources.filter(({ name }) => !/words(\.ar)?\.ts$/.test(name)).map(({ text }) => text).join("\n");
    const paths = (part: object, parent = "words"): string[] =>
      Object.entries(part).flatMap(([name, value]) => (typeof value === "object" ? paths(value, name) : [`${parent}.${name}`]));
    // Some are chosen by a name: of a view, a section, a role, a theme, an act.
    const isChosen = (path: string) => /^(activity|places|views|empty|sections|permissions|roles|roleHints|themes|acts|variables|languages)\./.test(path);
    expect(paths(words).filter((path) => !isChosen(path) && !all.includes(path))).toEqual([]);
  });

  it("have their words in the catalogue", () => {
    const shown = />\s*[A-Z][a-z]+ [a-z]+[^<{]*</;
    const components = sources.filter(({ name }) => name.endsWith(".svelte"));
    const markup = (text: string) => text.replace(/<script[\s\S]*?<\/script>|<!--[\s\S]*?-->/g, "");
    expect(components.filter(({ text }) => shown.test(markup(text))).map(({ name }) => name)).toEqual([]);
  });
});
