// What somebody likes in this browser: in all its tabs, whoever is signed in.
import { LANGUAGE_CHOICES, type LanguageChoice } from "../language.svelte.ts";
import type { Kept } from "./kept.ts";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const THEME = "replyhq.theme";
const LANGUAGE = "replyhq.language";
const SWITCHES = { hasLetterKeys: "replyhq.letter-keys", notifies: "replyhq.notifies", sounds: "replyhq.sounds" } as const;
export type Switch = keyof typeof SWITCHES;

/** Nothing makes a noise or lies over other windows until somebody asks for it. */
const AT_FIRST: Record<Switch, boolean> = { hasLetterKeys: true, notifies: false, sounds: false };

export class Preferences {
  theme = $state<Theme>("system");
  language = $state<LanguageChoice>("browser");
  #on = $state<Record<Switch, boolean>>({ ...AT_FIRST });
  #kept: Kept;

  constructor(kept: Kept) {
    this.#kept = kept;
    this.#read();
  }

  is(name: Switch): boolean {
    return this.#on[name];
  }

  set(name: Switch, isOn: boolean): void {
    this.#on[name] = isOn;
    this.#kept.set(SWITCHES[name], isOn ? "yes" : "no");
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.#kept.set(THEME, theme);
  }

  setLanguage(language: LanguageChoice): void {
    this.language = language;
    this.#kept.set(LANGUAGE, language);
  }

  /** Another tab has changed something. */
  changedElsewhere(key: string | null): void {
    if (key === null || key === THEME || key === LANGUAGE || Object.values<string>(SWITCHES).includes(key)) this.#read();
  }

  #read(): void {
    this.theme = THEMES.find((name) => name === this.#kept.get(THEME)) ?? "system";
    this.language = LANGUAGE_CHOICES.find((name) => name === this.#kept.get(LANGUAGE)) ?? "browser";
    for (const name of Object.keys(SWITCHES) as Switch[]) {
      const kept = this.#kept.get(SWITCHES[name]);
      this.#on[name] = kept === undefined ? AT_FIRST[name] : kept === "yes";
    }
  }
}
