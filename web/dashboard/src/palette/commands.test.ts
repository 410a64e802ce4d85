import { describe, expect, it } from "vitest";
import { type Group, sought } from "./commands.ts";

const command = (label: string) => ({ id: label, label, run: () => {} });
const groups: Group[] = [
  { title: "Leila", commands: ["Resolve", "Assign to…"].map(command) },
  { title: "People", commands: ["Leila Haddad", "Élodie Haddad", "Ben Ito"].map(command), most: 2, mostAtFirst: 1 },
  { title: "Go to", commands: ["Resolved", "Sessions"].map(command) },
];
const labels = (text: string) => sought(groups, text).map(({ title, commands }) => [title, ...commands.map(({ label }) => label)].join(" "));

describe("commands", () => {
  it("are all there while nothing is looked for, but for people", () => {
    expect(labels(" ")).toEqual(["Leila Resolve Assign to…", "People Leila Haddad", "Go to Resolved Sessions"]);
  });
  it("are found by each of their words, without case and accents, in one list", () => {
    expect(labels("RESOL")).toEqual(["Leila Resolve", "Go to Resolved"]);
    expect(labels("had elo")).toEqual(["People Élodie Haddad"]);
    expect(labels("i")).toEqual(["Leila Assign to…", "People Leila Haddad Élodie Haddad", "Go to Sessions"]);
    expect(labels("nothing")).toEqual([]);
  });
});
