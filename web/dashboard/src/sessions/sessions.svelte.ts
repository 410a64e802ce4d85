// Who is connected: by device, fed by pages and by events alike. Made when somebody looks, let go of when they leave.
import type { PresenceChange, Session, SessionDisconnect, UserInfo } from "../../../wire/generated/protocol.ts";
import type { Answered } from "../../../wire/src/browser.ts";
import { folded } from "../stores/team.svelte.ts";

/** How many connections a page has. */
const PAGE = 1_000;
/** How long after a page that failed the next try is. */
const RETRY_MS = 1_000;
/** How often what is shown changes, at most: many come and go at once. */
const PICTURE_MS = 100;
/** How long a row is new, and how long it stays after its device has left. */
const FRESH_MS = 2_000;
const GONE_MS = 5_000;

/** A device that is connected. It is never changed, but another one takes its place. */
export interface Device {
  /** The device's id. */
  readonly id: string;
  /** The connection by which it came: it keeps the row in its place. */
  readonly key: string;
  readonly user: UserInfo | undefined;
  /** Since when it is connected. */
  readonly since: string;
  readonly connections: number;
  readonly state: "here" | "fresh" | "gone";
  /** What it is found by. */
  readonly text: string;
}

/** What the sessions need from the world. */
export interface Feed {
  page(after: string, limit: number, answer: (answer: Answered<"sessions:list">) => void): void;
  later(ms: number, run: () => void): void;
  now(): number;
}

type Who = "everybody" | "named" | "nameless";

export class Sessions {
  /** Who came last is first. Replaced as a whole. */
  rows = $state.raw<readonly Device[]>([]);
  connections = $state(0);
  /** Devices that have one. */
  devices = $state(0);
  /** Whether all that there were have been told. */
  hasLoaded = $state(false);
  hasFailed = $state(false);
  /** How many have come while one looked on. */
  arrived = $state(0);

  #feed: Feed;
  #devices = new Map<string, Device>();
  /** By the key, the oldest first. */
  #sorted: Device[] = [];
  /** Whose a connection is. */
  #owners = new Map<string, string>();
  #byDevice = new Map<string, Set<string>>();
  /** Connections that the pages of this load have told of, and those that have ended meanwhile. */
  #told = new Set<string>();
  #ended = new Set<string>();
  #generation = 0;
  #isLoading = false;
  #isComplete = false;
  #isDue = false;
  #isClosed = false;
  #fresh: { at: number; id: string }[] = [];
  #gone: { at: number; id: string }[] = [];
  #isSweeping = false;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  close(): void {
    this.#isClosed = true;
    this.#generation += 1;
  }

  find(id: string): Device | undefined {
    return this.#devices.get(id);
  }

  /** The connection is there, or there again: all is asked for, from the oldest on. */
  load(): void {
    this.#generation += 1;
    this.#told.clear();
    this.#ended.clear();
    this.#isLoading = true;
    this.hasFailed = false;
    this.#ask("", this.#generation);
  }

  /** `session:connect` */
  connected(session: Session): void {
    this.#told.add(session.connection_id);
    const isNew = this.#put(session, "fresh");
    if (isNew) this.arrived += 1;
    this.#changed();
  }

  /** `session:disconnect` */
  disconnected({ connection_id }: SessionDisconnect): void {
    if (this.#isLoading) this.#ended.add(connection_id);
    this.#end(connection_id, true);
    this.#changed();
  }

  /** `presence:change`: who it is may have been told since, and the last connection of all may have gone. */
  presence({ device_id, is_online, user_info }: PresenceChange): void {
    const device = this.#devices.get(device_id);
    if (!device) return;
    if (!is_online) for (const connection of [...(this.#byDevice.get(device_id) ?? [])]) this.#end(connection, true);
    else if (user_info && (user_info.user_id !== device.user?.user_id || user_info.name !== device.user.name)) {
      this.#replace({ ...device, user: user_info, text: textOf(device_id, user_info) });
    } else return;
    this.#changed();
  }

  #ask(after: string, generation: number): void {
    this.#feed.page(after, PAGE, (answer) => {
      if (generation !== this.#generation) return;
      if (answer.kind === "done") {
        const { sessions, has_more } = answer.payload as { sessions: Session[]; has_more: boolean };
        for (const session of sessions) {
          this.#told.add(session.connection_id);
          if (!this.#ended.has(session.connection_id)) this.#put(session, "here");
        }
        const last = sessions.at(-1)?.connection_id;
        if (has_more && last !== undefined) this.#ask(last, generation);
        else this.#complete();
        this.#changed();
      } else if (answer.kind === "failed") {
        this.hasFailed = true;
        this.#feed.later(answer.retryAfterMs ?? RETRY_MS, () => generation === this.#generation && this.#ask(after, generation));
      }
      // What was lost with its connection is asked for by the next one.
    });
  }

  /** Who was there before and was told of no more has left while nobody heard it. */
  #complete(): void {
    for (const connection of [...this.#owners.keys()]) if (!this.#told.has(connection)) this.#end(connection, false);
    this.#told.clear();
    this.#ended.clear();
    this.#isLoading = false;
    this.hasFailed = false;
    this.#isComplete = true;
  }

  #put({ connection_id, device_id, connected_at, user_info }: Session, state: "here" | "fresh"): boolean {
    if (this.#owners.has(connection_id)) return false;
    this.#owners.set(connection_id, device_id);
    const own = this.#byDevice.get(device_id) ?? new Set();
    this.#byDevice.set(device_id, own.add(connection_id));
    const known = this.#devices.get(device_id);
    const user = user_info ?? known?.user;
    if (known) {
      const isBack = known.state === "gone";
      if (isBack && state === "fresh") this.#soon(this.#fresh, FRESH_MS, device_id);
      const next = isBack ? { state, since: connected_at } : { since: connected_at < known.since ? connected_at : known.since };
      this.#replace({ ...known, ...next, user, connections: own.size, text: textOf(device_id, user) });
      return isBack;
    }
    const device: Device = { id: device_id, key: connection_id, user, since: connected_at, connections: own.size, state, text: textOf(device_id, user) };
    this.#devices.set(device_id, device);
    this.#sorted.splice(this.#place(device), 0, device);
    if (state === "fresh") this.#soon(this.#fresh, FRESH_MS, device_id);
    return true;
  }

  #end(connection: string, isSeen: boolean): void {
    const id = this.#owners.get(connection);
    if (id === undefined) return;
    this.#owners.delete(connection);
    const own = this.#byDevice.get(id);
    own?.delete(connection);
    const device = this.#devices.get(id);
    if (!device) return;
    const connections = own?.size ?? 0;
    if (connections > 0) return this.#replace({ ...device, connections });
    this.#byDevice.delete(id);
    if (!isSeen) return this.#forget(device);
    this.#replace({ ...device, connections, state: "gone" });
    this.#soon(this.#gone, GONE_MS, id);
  }

  #place({ key, id }: Device): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#sorted[middle] as Device;
      if (other.key < key || (other.key === key && other.id < id)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #replace(device: Device): void {
    this.#devices.set(device.id, device);
    this.#sorted[this.#place(device)] = device;
  }

  #forget(device: Device): void {
    this.#devices.delete(device.id);
    this.#sorted.splice(this.#place(device), 1);
  }

  /** Each queue has one delay, so that the first in it is due first. */
  #soon(queue: { at: number; id: string }[], ms: number, id: string): void {
    queue.push({ at: this.#feed.now() + ms, id });
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#feed.later(PICTURE_MS, () => this.#sweep());
  }

  #sweep(): void {
    if (this.#isClosed) return;
    const now = this.#feed.now();
    const due = (queue: { at: number; id: string }[]) => {
      const count = queue.findIndex(({ at }) => at > now);
      return queue.splice(0, count < 0 ? queue.length : count);
    };
    const old = due(this.#fresh);
    for (const { id } of old) {
      const device = this.#devices.get(id);
      if (device?.state === "fresh") this.#replace({ ...device, state: "here" });
    }
    const left = due(this.#gone);
    for (const { id } of left) {
      const device = this.#devices.get(id);
      // Who came back meanwhile stays, and whoever left again after that has a time of their own.
      if (device?.state === "gone" && !this.#gone.some((later) => later.id === id)) this.#forget(device);
    }
    if (old.length + left.length > 0) this.#changed();
    this.#isSweeping = this.#fresh.length + this.#gone.length > 0;
    if (this.#isSweeping) this.#feed.later(PICTURE_MS, () => this.#sweep());
  }

  #changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#feed.later(PICTURE_MS, () => {
      this.#isDue = false;
      if (this.#isClosed) return;
      this.rows = this.#sorted.toReversed();
      this.connections = this.#owners.size;
      this.devices = this.#byDevice.size;
      // Not before they are in the picture: "nobody" would be said of all of them.
      this.hasLoaded = this.#isComplete;
    });
  }
}

const textOf = (device: string, user: UserInfo | undefined): string => folded(`${user?.name ?? ""}\n${user?.user_id ?? ""}\n${device}`);

/** Those who are looked for. */
export function sought(rows: readonly Device[], text: string, who: Who): readonly Device[] {
  const wanted = folded(text.trim());
  if (wanted === "" && who === "everybody") return rows;
  return rows.filter((row) => (who === "everybody" || (who === "named") === Boolean(row.user?.name)) && row.text.includes(wanted));
}

export type { Who };
