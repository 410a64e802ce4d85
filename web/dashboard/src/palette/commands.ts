// What can be done and where one can go, as one list.
import { folded } from "../stores/team.svelte.ts";

export interface Command {
  /** Names it among all. */
  id: string;
  label: string;
  /** What is said beside it. */
  note?: string;
  icon?: string;
  /** Whose face stands there instead. */
  face?: { id: string; name: string | undefined };
  keys?: string[];
  run: () => void;
}

export interface Group {
  title: string;
  commands: readonly Command[];
  /** How many are shown at most, and how many while nothing is looked for. */
  most?: number;
  mostAtFirst?: number;
}

/** Those that have each word that is looked for, in the groups' own order. */
export function sought(groups: readonly Group[], text: string): Group[] {
  const words = folded(text).split(/\s+/u).filter(Boolean);
  return groups.flatMap((group) => {
    const most = (words.length === 0 ? group.mostAtFirst : group.most) ?? Infinity;
    const found: Command[] = [];
    for (const command of group.commands) {
      if (found.length >= most) break;
      const label = folded(command.label);
      if (words.every((word) => label.includes(word))) found.push(command);
    }
    return found.length > 0 ? [{ ...group, commands: found }] : [];
  });
}
