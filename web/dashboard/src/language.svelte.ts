// The language that is spoken here. English is in the page; another is asked for when somebody wants it.
import type { Words } from "./words.ts";

export type Language = "en" | "ar";
/** What somebody may choose: one of them, or whatever the browser prefers. */
export type LanguageChoice = "browser" | Language;
export const LANGUAGE_CHOICES: readonly LanguageChoice[] = ["browser", "en", "ar"];

interface Spoken {
  language: Language;
  /** Times and numbers are written as it writes them. */
  locale: string;
  /** Its words, where it is not the one that the page has already. */
  words: Words | undefined;
}

const ENGLISH: Spoken = { language: "en", locale: "en-GB", words: undefined };

let current = $state.raw<Spoken>(ENGLISH);
/** Counts what was asked for: an answer to an older wish is not taken. */
let wishes = 0;

export const spoken = (): Spoken => current;

/** From which side it is written. */
export const direction = (): "ltr" | "rtl" => (current.language === "ar" ? "rtl" : "ltr");

/** Which language that is for a browser that prefers these, and where it is spoken. */
export function resolve(choice: LanguageChoice, preferred: readonly string[]): { language: Language; locale: string } {
  const isArabic = (tag: string) => /^ar(-|$)/i.test(tag);
  const wanted = choice === "browser" ? preferred.find((tag) => isArabic(tag) || /^en(-|$)/i.test(tag)) : choice;
  if (wanted === undefined || !isArabic(wanted)) return { language: "en", locale: ENGLISH.locale };
  // Digits are those of the browser's own country; days are counted alike everywhere, or colleagues would read other dates.
  const tag = preferred.find(isArabic) ?? "ar";
  return { language: "ar", locale: new Intl.Locale(tag, { calendar: "gregory" }).toString() };
}

/** Speaks as was chosen. Whether it could: its words may be out of reach, and then all stays as it was. */
export async function speak(choice: LanguageChoice): Promise<boolean> {
  const wish = ++wishes;
  const wanted = resolve(choice, navigator.languages);
  if (wanted.language === "en") {
    current = ENGLISH;
    return true;
  }
  try {
    const { arabic } = await import("./words.ar.ts");
    if (wish === wishes) current = { ...wanted, words: arabic };
    return true;
  } catch {
    return false;
  }
}

const formats = new Map<string, Intl.NumberFormat>();

/** As the language writes numbers. */
export function number(count: number): string {
  const { locale } = current;
  let format = formats.get(locale);
  if (!format) formats.set(locale, (format = new Intl.NumberFormat(locale)));
  return format.format(count);
}
