import { describe, expect, it } from "vitest";
import { refusal, shortcutOf, wrongShortcut, wrongText } from "./canned.ts";
import { detailsOf } from "./details.ts";
import { isOrigin } from "./origins.ts";
import { isHandheld, programName } from "./programs.ts";

describe("programs", () => {
  it("are named as people name them", () => {
    const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0";
    const iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
    expect([firefox, edge, iphone, "curl/8.5", "", undefined].map(programName)).toEqual(["Firefox on Linux", "Edge on Windows", "Safari on iPhone", "curl/8.5", "A program", "A program"]);
    expect([firefox, iphone].map(isHandheld)).toEqual([false, true]);
  });
});

describe("origins", () => {
  it("are a scheme and a host", () => {
    const good = ["https://harbourbikes.dk", "http://localhost:5173", "https://Shop.example"];
    const bad = ["harbourbikes.dk", "https://harbourbikes.dk/shop", "https://a@b.dk", "ftp://a.dk", "javascript:alert(1)", "https://", "", "https://harbourbikes.dk:443"];
    expect([...good, ...bad].map(isOrigin)).toEqual([...good.map(() => true), ...bad.map(() => false)]);
  });
});

describe("the audit log's details", () => {
  const nameOf = (id: string) => (id === "agt_1" ? "Ben" : undefined);
  it("are told in few words", () => {
    expect(detailsOf({ to: "agt_1" }, nameOf)).toBe("to Ben");
    expect(detailsOf({ name: "Tomasz", email: "t@example.com", role: "viewer" }, nameOf)).toBe("Tomasz, Viewer");
    expect(detailsOf({ name: null, role: null }, nameOf)).toBe("");
    expect(detailsOf({ allowed_origins: ["https://a.dk"] }, nameOf)).toBe('allowed origins: ["https://a.dk"]');
    expect(detailsOf(null, nameOf)).toBe("");
  });
});

describe("canned replies", () => {
  it("have a short name of one word, with or without the slash before it", () => {
    for (const good of ["hello-1_b", "Grüße", " /Hours ", "تحية", "返金", "x".repeat(32)]) expect(wrongShortcut(good)).toBeUndefined();
    for (const wrong of ["", " / ", "two words", "a/b", "x".repeat(33)]) expect(wrongShortcut(wrong)).toBeDefined();
    expect(shortcutOf(" /Hours ")).toBe("hours");
  });

  it("have between braces only what can be filled in, as the server has it", () => {
    for (const good of ["Hi", "Hi {{person.name|there}}, {{ agent.name }} here", "{{person.email}}", "a } b { c", "{{person.name|a {b}}}"]) expect(wrongText(good)).toBeUndefined();
    for (const wrong of ["", " ", "{{name}}", "{{person.nam|there}}", "{{person.name", "{{}}", "{{ | }}", "{{a {{person.name}}", "x".repeat(5001)]) expect(wrongText(wrong)).toBeDefined();
  });

  it("are told what the server has against them at the field that it speaks of", () => {
    const at = (code: string, message: string) => refusal({ code, message }).at;
    expect(at("VALIDATION_ERROR", "there is a canned reply with that shortcut already")).toBe("shortcut");
    expect(at("VALIDATION_ERROR", "a shortcut is 1 to 32 letters, digits, and any of - _")).toBe("shortcut");
    expect(at("VALIDATION_ERROR", "{{name}} is not known; there are {{person.name}}")).toBe("text");
    expect(at("MESSAGE_TOO_LONG", "the body has 5001 characters")).toBe("text");
    expect(at("VALIDATION_ERROR", "an app has at most 1000 canned replies")).toBe("all");
    expect(at("UNREACHABLE", "the server did not answer")).toBe("all");
  });
});
