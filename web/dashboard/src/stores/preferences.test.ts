import { describe, expect, it } from "vitest";
import { Memory } from "./kept.ts";
import { Preferences } from "./preferences.svelte.ts";

describe("preferences", () => {
  it("are the quiet ones until somebody says otherwise, and stay what they were", () => {
    const kept = new Memory();
    const first = new Preferences(kept);
    expect([first.theme, first.language, first.is("hasLetterKeys"), first.is("notifies"), first.is("sounds")]).toEqual(["system", "browser", true, false, false]);
    first.setTheme("dark");
    first.setLanguage("ar");
    first.set("hasLetterKeys", false);
    first.set("sounds", true);
    const second = new Preferences(kept);
    expect([second.theme, second.language, second.is("hasLetterKeys"), second.is("notifies"), second.is("sounds")]).toEqual(["dark", "ar", false, false, true]);
  });

  it("are the same in all tabs", () => {
    const kept = new Memory();
    const [one, other] = [new Preferences(kept), new Preferences(kept)];
    one.setTheme("light");
    one.set("notifies", true);
    other.changedElsewhere("replyhq.theme");
    expect([other.theme, other.is("notifies")]).toEqual(["light", true]);
    kept.remove("replyhq.theme");
    // Somebody has emptied the browser's storage.
    other.changedElsewhere(null);
    expect(other.theme).toBe("system");
  });

  it("are not what somebody has written by hand", () => {
    const kept = new Memory();
    kept.set("replyhq.theme", "pink");
    kept.set("replyhq.language", "tlh");
    const { theme, language } = new Preferences(kept);
    expect([theme, language]).toEqual(["system", "browser"]);
  });
});
