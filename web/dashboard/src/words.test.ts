import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { number, resolve, speak, spoken } from "./language.svelte.ts";
import { dayLine, timeOfDay } from "./times.ts";
import { arabic } from "./words.ar.ts";
import { words } from "./words.ts";

/** All that a catalogue says, by the name of each. What is made of something is made of this, which is a text and a number. */
function all(part: object, given: string, name = ""): [string, string][] {
  return Object.entries(part).flatMap(([key, value]): [string, string][] => {
    const path = name ? `${name}.${key}` : key;
    if (typeof value === "string") return [[path, value]];
    if (typeof value === "function") return [[path, String(value(...Array(value.length).fill(given)))]];
    return all(value, given, path);
  });
}

const shape = (part: object): unknown =>
  Object.fromEntries(Object.entries(part).map(([key, value]) => [key, typeof value === "object" ? shape(value) : `${typeof value} ${typeof value === "function" ? value.length : ""}`]));

/** Names, keys, commands, and what stands in a program's place: they are written as they are. */
const NAMES = [
  /ReplyHQ/g, /\breplyhq [a-z]+ [a-z-]+( --app APP YOUR-E-MAIL)?/g, /\b(app_|rhq_adm_)/g, /\{\{[^}]*\}\}/g, /https:\/\/harbourbikes\.dk/g,
  /\b(Ctrl|Enter|Esc|Shift)\b/g, /[JKE](?=[ \u0600-\u06ff،]|$)/g, /\b(TLS|PEM|EC|P-256|Ed25519|RSA)\b/g, /^English$/g,
];
const leftovers = (text: string) => NAMES.reduce((rest, name) => rest.replace(name, ""), text).match(/[A-Za-z]+/g) ?? [];

describe("the catalogues", () => {
  it("have the same shape", () => {
    expect(shape(arabic)).toEqual(shape(words));
  });

  it.each([["English", words], ["Arabic", arabic]] as const)("have nothing empty: %s", (_name, catalogue) => {
    for (const given of ["1", "11"]) expect(all(catalogue, given).filter(([, text]) => text === "" || /undefined|NaN|\[object|#/.test(text))).toEqual([]);
  });

  it("have no Latin letters left over in the Arabic one, and no marks of English", () => {
    const said = ["1", "2", "3", "11", "100"].flatMap((given) => all(arabic, given));
    expect(said.filter(([, text]) => leftovers(text).length > 0 || /[‘’?;]|,(?!\d)/.test(text))).toEqual([]);
  });

  it("count as Arabic does", () => {
    const counts = [1, 2, 3, 10, 11, 99, 100, 102, 103, 111];
    expect(counts.map(arabic.talk.newMessages)).toEqual([
      "رسالة جديدة", "رسالتان جديدتان", "3 رسائل جديدة", "10 رسائل جديدة", "11 رسالة جديدة", "99 رسالة جديدة", "100 رسالة جديدة", "102 رسالة جديدة", "103 رسائل جديدة", "111 رسالة جديدة",
    ]);
    expect([1, 2, 3, 11].map(arabic.waited.days)).toEqual(["يوم واحد", "يومان", "3 أيام", "11 يومًا"]);
    expect(arabic.waited.hours(2, 0)).toBe("ساعتان");
    expect(arabic.waited.hours(1, 5)).toBe("ساعة و5 د");
  });

  it("turn no sentence around by a name that is written the other way", () => {
    expect(arabic.talk.typing("Leila")).toBe("\u2068Leila\u2069 يكتب الآن");
    expect(arabic.assign.done("Leila", arabic.assign.you)).toBe("محادثة \u2068Leila\u2069: أُسندت إليك");
  });
});

describe("the language", () => {
  beforeEach(() => void vi.stubGlobal("navigator", { languages: [] }));
  afterEach(async () => {
    await speak("en");
    vi.unstubAllGlobals();
  });

  it("is what was chosen, or what the browser prefers of those that there are", () => {
    expect(resolve("browser", ["fr-FR", "ar-EG", "en-GB"])).toEqual({ language: "ar", locale: "ar-EG-u-ca-gregory" });
    expect(resolve("browser", ["fr-FR", "en-US", "ar"])).toEqual({ language: "en", locale: "en-GB" });
    expect(resolve("browser", ["fr-FR", "arn"])).toEqual({ language: "en", locale: "en-GB" });
    expect(resolve("ar", ["en-GB"])).toEqual({ language: "ar", locale: "ar-u-ca-gregory" });
    expect(resolve("ar", ["en-GB", "ar-SA"])).toEqual({ language: "ar", locale: "ar-SA-u-ca-gregory" });
    expect(resolve("en", ["ar"])).toEqual({ language: "en", locale: "en-GB" });
  });

  it("says words, times and numbers, and is another one in the same page", async () => {
    const at = "2026-11-24T10:03:00";
    const now = Date.parse("2026-11-29T12:00:00");
    vi.stubGlobal("navigator", { languages: ["ar-EG"] });
    expect(await speak("browser")).toBe(true);
    expect([spoken().language, words.views.mine, number(1234), timeOfDay(at), dayLine(at, now)]).toEqual(["ar", "محادثاتي", "١٬٢٣٤", "١٠:٠٣ ص", "الثلاثاء، ٢٤ نوفمبر"]);
    await speak("en");
    expect([words.views.mine, number(1234), timeOfDay(at), dayLine(at, now)]).toEqual(["Mine", "1,234", "10:03", "Tuesday 24 November"]);
  });

  it("is the last one that was asked for", async () => {
    await Promise.all([speak("ar"), speak("en")]);
    expect(spoken().language).toBe("en");
  });
});
