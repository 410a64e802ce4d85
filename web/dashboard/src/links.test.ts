import { describe, expect, it } from "vitest";
import { pieces } from "./links.ts";

const links = (text: string) => pieces(text).flatMap((piece) => (piece.kind === "link" ? [piece.text] : []));

describe("links", () => {
  it.each([
    ["see https://a.example/x_y_z?q=1&r=2#part now", ["https://a.example/x_y_z?q=1&r=2#part"]],
    ["(https://a.example/b)", ["https://a.example/b"]],
    ["https://a.example/Foo_(bar)", ["https://a.example/Foo_(bar)"]],
    ["(see https://a.example/Foo_(bar))", ["https://a.example/Foo_(bar)"]],
    ["https://a.example. And", ["https://a.example"]],
    ["https://a.example/?!", ["https://a.example/"]],
    ["*https://a.example/b*", ["https://a.example/b"]],
    ["www.a.example/b", ["www.a.example/b"]],
    ["write to ada.b+c@a.example, soon", ["ada.b+c@a.example"]],
    ["请看https://a.example/路径。谢谢", ["https://a.example/路径。谢谢"]],
    ["http://localhost:3000/x", ["http://localhost:3000/x"]],
    ["HTTPS://A.EXAMPLE/X", ["HTTPS://A.EXAMPLE/X"]],
    ["https://a.example/x https://b.example/y", ["https://a.example/x", "https://b.example/y"]],
    ["https://user:pw@evil.example/", []],
    ["https://bank.example@evil.example/", []],
    ["javascript:alert(1)", []],
    ["data:text/html,<script>alert(1)</script>", []],
    ["vbscript:x file:///etc/passwd", []],
    ["xhttps://a.example", []],
    ["https://", []],
    ["https://nodot", []],
    ["a.b.c and 1.2.3 and e.g.", []],
    ["https://a.example/\u202Egnp.exe", ["https://a.example/"]],
    ['https://a.example/"><img onerror=x>', ["https://a.example/"]],
    ["@ada @ a@b", []],
  ])("%s", (text, expected) => {
    expect(links(text)).toEqual(expected);
    expect(pieces(text).map((piece) => piece.text).join("")).toBe(text);
  });

  it("lead nowhere but to the web and to mail", () => {
    for (const text of ["https://a.example/x", "www.a.example", "a@b.example"]) {
      for (const piece of pieces(text)) {
        if (piece.kind === "link") expect(piece.href).toMatch(/^(https?:\/\/|mailto:)/);
      }
    }
  });

  it("take no time of a text that is made to take much", () => {
    const started = performance.now();
    for (const text of ["https://".repeat(625), `https://a.example/${")".repeat(4900)}`, "a.".repeat(2500), `${"a".repeat(4990)}@`]) pieces(text);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
