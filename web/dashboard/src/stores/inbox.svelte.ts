// The inbox: conversations by id, fed by events and by pages alike, and the views of them in order.
import type { InboxConversation, Message, PresenceChange } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";

/** How many conversations a page has. */
const PAGE = 100;
/** How long after a page that failed the next try is, doubled each time up to the most. */
const RETRY_MS = 1_000;
const MOST_RETRY_MS = 30_000;

export type ViewName = "all" | "resolved";
export const VIEWS: readonly ViewName[] = ["all", "resolved"];

const STATUS = { all: "open", resolved: "resolved" } as const;

/** A row. It is never changed, but another one takes its place. */
export interface Row extends InboxConversation {
  is_online: boolean;
  /** When it was last heard of, in the inbox's own count. */
  heard: number;
}

/** The newest first, as the server's pages are. */
const order = (a: Row, b: Row): number =>
  a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : a.id < b.id ? 1 : a.id > b.id ? -1 : 0;

/** What a view needs from the world. */
export interface World {
  ask: Ask;
  /** Runs it soon, once for many changes: before the next picture. */
  soon(run: () => void): void;
  later(ms: number, run: () => void): void;
}

/** One list, from the newest down to where it has been loaded. */
export class View {
  readonly name: ViewName;
  /** What is shown. Replaced as a whole, at most once a picture. */
  rows = $state.raw<readonly Row[]>([]);
  hasLoaded = $state(false);
  hasFailed = $state(false);
  /** Whether the server has nothing below. */
  isComplete = $state(false);
  unread = $state(0);

  sorted: Row[] = [];
  cursor = "";
  /** Whether what is loaded may be old: the connection was away since. */
  isStale = true;

  constructor(name: ViewName) {
    this.name = name;
  }

  /** Where the row is or belongs. */
  place(row: Row): number {
    let [low, high] = [0, this.sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(this.sorted[middle] as Row, row) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether the row is in the part that has been loaded. */
  reaches(row: Row): boolean {
    return this.isComplete || this.place(row) < this.sorted.length;
  }
}

export class Inbox {
  readonly views: Record<ViewName, View> = { all: new View("all"), resolved: new View("resolved") };
  #world: World;
  #rows = new Map<string, Row>();
  #byDevice = new Map<string, Set<string>>();
  #online = new Map<string, boolean>();
  #heard = 0;
  #generation = 0;
  #isBusy = false;
  #wanted: ViewName | undefined;
  #failures = 0;
  #isDue = false;
  /** Counts changes of rows, for those who look one up. */
  #version = $state(0);

  constructor(world: World) {
    this.#world = world;
  }

  /** A conversation that is known, in whatever view. */
  find(id: string): Row | undefined {
    void this.#version;
    return this.#rows.get(id);
  }

  /** The connection is there again: what is shown is compared with what is, from the newest on. */
  resync(shown: ViewName): void {
    this.#generation += 1;
    this.#online.clear();
    for (const name of VIEWS) this.views[name].isStale = true;
    this.#failures = 0;
    this.show(shown);
  }

  /** The view is looked at: it is loaded, or brought up to date. */
  show(name: ViewName): void {
    if (this.views[name].isStale) void this.#refresh(name);
  }

  /** The end of what is loaded comes into sight. */
  more(name: ViewName): void {
    const view = this.views[name];
    if (view.isStale || view.isComplete || this.#isBusy) return;
    void this.#once(name, async (isCurrent) => {
      const heard = this.#heard;
      const page = await this.#page(view, view.cursor);
      if (!page || !isCurrent()) return;
      this.#takePage(view, page, heard);
    });
  }

  /** `conversation:updated` */
  updated(conversation: InboxConversation, last: Message | null | undefined): void {
    const known = last ? { ...conversation, last_message: last } : conversation;
    this.#put(known, ++this.#heard);
  }

  /** `presence:change` */
  presence({ device_id, is_online }: PresenceChange): void {
    this.#online.set(device_id, is_online);
    for (const id of this.#byDevice.get(device_id) ?? []) {
      const row = this.#rows.get(id);
      if (row && row.is_online !== is_online) this.#replace(row, { ...row, is_online });
    }
  }

  /** A conversation that was asked for by itself. */
  learn(conversation: InboxConversation): void {
    this.#put(conversation, this.#heard);
  }

  /** The page says that the agents have read all, before the server tells everybody. */
  readAll(id: string): void {
    const row = this.#rows.get(id);
    if (row && row.unread_count > 0) this.#replace(row, { ...row, unread_count: 0 });
  }

  async #refresh(name: ViewName): Promise<void> {
    const view = this.views[name];
    await this.#once(name, async (isCurrent) => {
      const heard = this.#heard;
      const depth = view.sorted.length;
      const seen = new Set<string>();
      let cursor = "";
      for (;;) {
        const page = await this.#page(view, cursor);
        if (!isCurrent()) return;
        if (!page) return this.#tryAgain(name);
        for (const { id } of page.conversations) seen.add(id);
        cursor = page.next_cursor ?? "";
        if (!page.has_more || seen.size >= depth) {
          for (const row of [...view.sorted]) if (!seen.has(row.id) && row.heard <= heard) this.#forget(row);
          view.isStale = false;
          this.#takePage(view, page, heard);
          return;
        }
        for (const conversation of page.conversations) this.#put(conversation, heard, view);
      }
    });
  }

  #takePage(view: View, page: { conversations: InboxConversation[]; has_more: boolean; next_cursor?: string | null }, heard: number): void {
    for (const conversation of page.conversations) this.#put(conversation, heard, view);
    view.cursor = page.next_cursor ?? "";
    view.isComplete = !page.has_more;
    view.hasLoaded = true;
    view.hasFailed = false;
    this.#failures = 0;
    this.#changed();
  }

  /** One request for a list at a time; what is wanted meanwhile comes after it. */
  async #once(name: ViewName, run: (isCurrent: () => boolean) => Promise<void>): Promise<void> {
    if (this.#isBusy) {
      this.#wanted = name;
      return;
    }
    this.#isBusy = true;
    const generation = this.#generation;
    try {
      await run(() => generation === this.#generation);
    } finally {
      this.#isBusy = false;
    }
    const wanted = this.#wanted ?? (generation === this.#generation ? undefined : name);
    this.#wanted = undefined;
    if (wanted) this.show(wanted);
  }

  async #page(view: View, after: string) {
    const outcome = await this.#world.ask("GET /v1/admin/conversations", {
      query: { status: STATUS[view.name], after, limit: PAGE },
    });
    return outcome.ok ? outcome.answer : undefined;
  }

  #tryAgain(name: ViewName): void {
    this.views[name].hasFailed = true;
    const generation = this.#generation;
    const delay = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** this.#failures++);
    this.#world.later(delay, () => generation === this.#generation && this.show(name));
  }

  /** Takes what came, unless it is older than what is there. A page shows how things were when it was asked for. */
  #put(conversation: InboxConversation, heard: number, from?: View): void {
    const known = this.#rows.get(conversation.id);
    const isOld =
      known !== undefined &&
      (conversation.updated_at < known.updated_at ||
        (conversation.updated_at === known.updated_at && (conversation.last_seq < known.last_seq || heard < known.heard)));
    const device = conversation.device_id;
    const told = conversation.is_online ?? undefined;
    if (told !== undefined && !this.#online.has(device)) this.#online.set(device, told);
    const is_online = this.#online.get(device) ?? known?.is_online ?? false;
    if (isOld) {
      // Known by an event, it may have been in no view yet.
      if (from || is_online !== known.is_online) this.#replace(known, { ...known, is_online }, from);
      return;
    }
    const last = conversation.last_message ?? known?.last_message;
    const row: Row = { ...conversation, is_online, heard, ...(last ? { last_message: last } : {}) };
    this.#replace(known, row, from);
  }

  #replace(old: Row | undefined, row: Row, from?: View): void {
    const was = old && this.#takeOut(old);
    this.#rows.set(row.id, row);
    const devices = this.#byDevice.get(row.device_id);
    if (devices) devices.add(row.id);
    else this.#byDevice.set(row.device_id, new Set([row.id]));
    for (const name of VIEWS) {
      const view = this.views[name];
      if (STATUS[name] !== row.status) continue;
      // What lies below the loaded part comes with its page.
      const stays = was === view && old !== undefined && order(row, old) === 0;
      if (view === from || stays || view.reaches(row)) view.sorted.splice(view.place(row), 0, row);
    }
    this.#changed();
  }

  /** Takes it out of the view that it is in, if it is in one. */
  #takeOut(row: Row): View | undefined {
    for (const name of VIEWS) {
      const view = this.views[name];
      const place = view.place(row);
      if (view.sorted[place]?.id !== row.id) continue;
      view.sorted.splice(place, 1);
      return view;
    }
    return undefined;
  }

  #forget(row: Row): void {
    this.#takeOut(row);
    this.#rows.delete(row.id);
    this.#byDevice.get(row.device_id)?.delete(row.id);
    this.#changed();
  }

  #changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#world.soon(() => {
      this.#isDue = false;
      this.#version += 1;
      for (const name of VIEWS) {
        const view = this.views[name];
        view.rows = [...view.sorted];
        view.unread = view.sorted.reduce((count, row) => count + (row.unread_count > 0 ? 1 : 0), 0);
      }
    });
  }
}
