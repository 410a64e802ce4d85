// The inbox: conversations by id, fed by events and by pages alike, and the views of them in order.
import type { InboxConversation, Message, PresenceChange } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";
import { type FixedView, VIEWS, type ViewName, tagOf } from "./views.ts";

/** How many conversations a page has. */
const PAGE = 100;
/** How long after a page that failed the next try is, doubled each time up to the most. */
const RETRY_MS = 1_000;
const MOST_RETRY_MS = 30_000;

/** How many tags' views are kept, the last ones looked at. */
const TAGGED = 5;

/** A row. It is never changed, but another one takes its place. */
export interface Row extends InboxConversation {
  is_online: boolean;
  /** When it was last heard of, in the inbox's own count. */
  heard: number;
}

type Order = (a: Row, b: Row) => number;

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The newest first, as the server's pages are. */
const byActivity: Order = (a, b) => compare(b.updated_at, a.updated_at) || compare(b.id, a.id);

/** Who has waited longest first, as the server's page of them is. */
const byWait: Order = (a, b) => compare(a.waiting_since ?? "", b.waiting_since ?? "") || compare(a.id, b.id);

/** What a view is: what the server is asked for, and the same rule and order for what is heard of. */
interface Rule {
  query: { view?: string; tag?: string; status: "open" | "resolved" };
  has(row: Row, me: string | undefined): boolean;
  order: Order;
}

const isOpen = ({ status }: Row): boolean => status === "open";

/** Whether somebody of the team has to look at it. */
export const isUnread = ({ unread_count, is_marked_unread }: InboxConversation): boolean => unread_count > 0 || is_marked_unread === true;

const RULES: Record<FixedView, Rule> = {
  mine: {
    query: { view: "mine", status: "open" },
    has: (row, me) => isOpen(row) && me !== undefined && row.assignee_id === me,
    order: byActivity,
  },
  unassigned: { query: { view: "unassigned", status: "open" }, has: (row) => isOpen(row) && !row.assignee_id, order: byActivity },
  waiting: { query: { view: "waiting", status: "open" }, has: (row) => isOpen(row) && Boolean(row.waiting_since), order: byWait },
  all: { query: { status: "open" }, has: isOpen, order: byActivity },
  resolved: { query: { status: "resolved" }, has: (row) => !isOpen(row), order: byActivity },
};

function ruleOf(name: ViewName): Rule {
  const tag = tagOf(name);
  if (tag === undefined) return RULES[name as FixedView];
  return { query: { tag, status: "open" }, has: (row) => isOpen(row) && Boolean(row.tags?.includes(tag)), order: byActivity };
}

/** What a view needs from the world. */
export interface World {
  ask: Ask;
  /** Whose inbox it is; a program's token may be nobody's. */
  me: string | undefined;
  /** Runs it soon, once for many changes: before the next picture. */
  soon(run: () => void): void;
  later(ms: number, run: () => void): void;
  /** A row was let go of, since the server shows it no longer where it was: it may be elsewhere. */
  forgot(id: string): void;
}

/** One list, from its top down to where it has been loaded. */
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
  /** Whether what is shown is not what is there. */
  isDirty = false;
  cursor = "";
  /** Whether what is loaded may be old: the connection was away since. */
  isStale = true;
  readonly rule: Rule;
  readonly #me: string | undefined;

  constructor(name: ViewName, me: string | undefined) {
    this.name = name;
    this.rule = ruleOf(name);
    this.#me = me;
  }

  get order(): Order {
    return this.rule.order;
  }

  /** Whether the row belongs here, loaded or not. */
  has(row: Row): boolean {
    return this.rule.has(row, this.#me);
  }

  /** Where the row is or belongs. */
  place(row: Row): number {
    let [low, high] = [0, this.sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.order(this.sorted[middle] as Row, row) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  contains(row: Row): boolean {
    return this.has(row) && this.sorted[this.place(row)]?.id === row.id;
  }

  takeOut(row: Row): boolean {
    if (!this.contains(row)) return false;
    this.sorted.splice(this.place(row), 1);
    this.isDirty = true;
    return true;
  }

  putIn(row: Row): void {
    this.sorted.splice(this.place(row), 0, row);
    this.isDirty = true;
  }

  /** Whether the row is in the part that has been loaded. */
  reaches(row: Row): boolean {
    return this.isComplete || this.place(row) < this.sorted.length;
  }
}

export class Inbox {
  readonly views: Record<FixedView, View>;
  /** The views that there always are: nothing is a program's own. */
  readonly names: readonly FixedView[];
  #tagged = new Map<ViewName, View>();
  #world: World;
  #rows = new Map<string, Row>();
  #byDevice = new Map<string, Set<string>>();
  #online = new Map<string, boolean>();
  #heard = 0;
  #generation = 0;
  #isBusy = false;
  /** What is to be looked at after the list that is asked for now, what was wanted last first. */
  #wanted: ViewName[] = [];
  /** Of which the next page was asked for meanwhile. */
  #wantedMore = new Set<ViewName>();
  #failures = 0;
  #isDue = false;
  /** Counts changes of rows, for those who look one up. */
  #version = $state(0);

  constructor(world: World) {
    this.#world = world;
    const { me } = world;
    const view = (name: FixedView) => new View(name, me);
    this.views = { mine: view("mine"), unassigned: view("unassigned"), waiting: view("waiting"), all: view("all"), resolved: view("resolved") };
    this.names = me === undefined ? VIEWS.filter((name) => name !== "mine") : VIEWS;
  }

  /** The view of this name. */
  view(name: ViewName): View {
    if (tagOf(name) === undefined) return this.views[name as FixedView];
    const known = this.#tagged.get(name);
    if (known) return known;
    const view = new View(name, this.#world.me);
    this.#tagged.set(name, view);
    for (const oldest of this.#tagged.keys()) {
      if (this.#tagged.size <= TAGGED) break;
      this.#tagged.delete(oldest);
    }
    return view;
  }

  #all(): View[] {
    return [...VIEWS.map((name) => this.views[name]), ...this.#tagged.values()];
  }

  /** A conversation that is known, in whatever view. */
  find(id: string): Row | undefined {
    void this.#version;
    return this.#rows.get(id);
  }

  /** All that is known, who waits first, then the newest. */
  known(): Row[] {
    void this.#version;
    const waits = (row: Row) => (isOpen(row) && row.waiting_since ? 0 : 1);
    return [...this.#rows.values()].sort((a, b) => waits(a) - waits(b) || byActivity(a, b));
  }

  /** What is known of a device's conversations: the newest. */
  ofDevice(device: string): Row | undefined {
    void this.#version;
    const rows = [...(this.#byDevice.get(device) ?? [])].flatMap((id) => this.#rows.get(id) ?? []);
    return rows.sort(byActivity)[0];
  }

  /** The connection is there again: what is shown is compared with what is, from the newest on. */
  resync(shown: ViewName): void {
    this.#generation += 1;
    this.#online.clear();
    for (const view of this.#all()) view.isStale = true;
    this.#failures = 0;
    this.show(shown);
  }

  /** The view is looked at: it is loaded, or brought up to date. */
  show(name: ViewName): void {
    if (this.view(name).isStale) void this.#refresh(name);
  }

  /** The end of what is loaded comes into sight. */
  more(name: ViewName): void {
    const view = this.view(name);
    if (view.isStale || view.isComplete) return;
    if (this.#isBusy) {
      // Who is at the end of a list stays there, and does not ask again.
      this.#wantedMore.add(name);
      return;
    }
    void this.#once(name, async (isCurrent) => {
      const heard = this.#heard;
      const page = await this.#page(view, view.cursor);
      if (!isCurrent()) return;
      if (page) this.#takePage(view, page, heard);
      else this.#later(() => this.more(name));
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

  /** How far it has heard, for who asks now and is answered after something else was heard. */
  get now(): number {
    return this.#heard;
  }

  /** A conversation that was asked for by itself, when it had heard that far. */
  learn(conversation: InboxConversation, heard = this.#heard): void {
    this.#put(conversation, heard);
  }

  /** The page says that the agents have read all, before the server tells everybody. */
  readAll(id: string): void {
    const row = this.#rows.get(id);
    if (row && isUnread(row)) this.#replace(row, { ...row, unread_count: 0, is_marked_unread: false });
  }

  async #refresh(name: ViewName): Promise<void> {
    const view = this.view(name);
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
          for (const row of [...view.sorted]) if (!seen.has(row.id) && row.heard <= heard) this.#drop(view, row);
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
      this.#wanted = [name, ...this.#wanted.filter((other) => other !== name)];
      return;
    }
    this.#isBusy = true;
    const generation = this.#generation;
    try {
      await run(() => generation === this.#generation);
    } finally {
      this.#isBusy = false;
    }
    const wanted = generation === this.#generation ? this.#wanted : [...this.#wanted, name];
    this.#wanted = [];
    for (const one of wanted) this.show(one);
    const wantedMore = [...this.#wantedMore];
    this.#wantedMore.clear();
    for (const one of wantedMore) this.more(one);
  }

  async #page(view: View, after: string) {
    const outcome = await this.#world.ask("GET /v1/admin/conversations", {
      query: { ...view.rule.query, after, limit: PAGE },
    });
    return outcome.ok ? outcome.answer : undefined;
  }

  #tryAgain(name: ViewName): void {
    this.view(name).hasFailed = true;
    this.#later(() => this.show(name));
  }

  /** After a pause that grows with each failure; unless all is looked at anew meanwhile. */
  #later(run: () => void): void {
    const generation = this.#generation;
    const delay = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** this.#failures++);
    this.#world.later(delay, () => generation === this.#generation && run());
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
    const was = old ? this.#takeOut(old) : [];
    this.#rows.set(row.id, row);
    const devices = this.#byDevice.get(row.device_id);
    if (devices) devices.add(row.id);
    else this.#byDevice.set(row.device_id, new Set([row.id]));
    for (const view of this.#all()) {
      if (!view.has(row)) continue;
      // What lies below the loaded part comes with its page.
      const stays = was.includes(view) && old !== undefined && view.order(row, old) === 0;
      if (view === from || stays || view.reaches(row)) view.putIn(row);
    }
    this.#changed();
  }

  /** Takes it out of the views that it is in, and says which. */
  #takeOut(row: Row): View[] {
    return this.#all().filter((view) => view.takeOut(row));
  }

  /** The server shows it no longer in this view. What no other view knows better is not known any more. */
  #drop(view: View, row: Row): void {
    const isElsewhere = this.#all().some((other) => other !== view && !other.isStale && other.contains(row));
    if (isElsewhere) view.takeOut(row);
    else this.#forget(row);
  }

  #forget(row: Row): void {
    this.#takeOut(row);
    this.#rows.delete(row.id);
    this.#byDevice.get(row.device_id)?.delete(row.id);
    this.#changed();
    this.#world.forgot(row.id);
  }

  #changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#world.soon(() => {
      this.#isDue = false;
      this.#version += 1;
      for (const view of this.#all()) {
        if (!view.isDirty) continue;
        view.isDirty = false;
        view.rows = [...view.sorted];
        view.unread = view.sorted.reduce((count, row) => count + (isUnread(row) ? 1 : 0), 0);
      }
    });
  }
}
