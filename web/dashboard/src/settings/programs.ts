// What a browser calls itself, as people call it.
import { words } from "../words.ts";

/** In this order: those below call themselves by the names of those above, too. */
const BROWSERS: [RegExp, string][] = [
  [/Edg(e|A|iOS)?\//, "Edge"],
  [/OPR\//, "Opera"],
  [/SamsungBrowser\//, "Samsung Internet"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/Chrome\/|CriOS\/|HeadlessChrome\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Android/, "Android"],
  [/Windows/, "Windows"],
  [/Mac OS X|Macintosh/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

/** Its name and its system's, or whatever it says. */
export function programName(userAgent: string | null | undefined): string {
  if (!userAgent) return words.settings.profile.unknownProgram;
  const find = (known: [RegExp, string][]) => known.find(([pattern]) => pattern.test(userAgent))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (browser && system) return words.settings.profile.program(browser, system);
  return browser ?? system ?? userAgent;
}

export const isHandheld = (userAgent: string | null | undefined): boolean => /iPhone|iPad|Android/.test(userAgent ?? "");
