import { beforeEach, describe, expect, it } from "vitest";
import type { InboxConversation, Message } from "../../../wire/generated/protocol.ts";
import type { Ask } from "../api.ts";
import { Inbox } from "./inbox.svelte.ts";
import type { ViewName } from "./views.ts";

const ME = "agt_me";

const at = (minute: number) => new Date(Date.UTC(2027, 0, 1, 10, minute)).toISOString();

function conversation(id: string, minute: number, more: Partial<InboxConversation> = {}): InboxConversation {
  return {
    id,
    app_id: "app_1",
    device_id: `device-${id}`,
    status: "open",
    last_seq: minute,
    created_at: at(0),
    updated_at: at(minute),
    unread_count: 0,
    ...more,
  };
}

/** A server that answers when it is told to. */
class Server {
  conversations: InboxConversation[] = [];
  waiting: (() => void)[] = [];
  asked = 0;
  fails = false;

  ask: Ask = (async (_route: string, given: { query: { view?: string; status: string; after: string; limit: number } }) => {
    this.asked += 1;
    const { view, status, after, limit } = given.query;
    const is = { mine: (one: InboxConversation) => one.assignee_id === ME, unassigned: (one: InboxConversation) => !one.assignee_id, waiting: (one: InboxConversation) => one.waiting_since };
    const all = this.conversations
      .filter((one) => one.status === status && (view === undefined || is[view as keyof typeof is](one)))
      .sort((a, b) => (view === "waiting" ? (a.waiting_since ?? "") < (b.waiting_since ?? "") : a.updated_at > b.updated_at) ? -1 : 1);
    const from = after === "" ? 0 : Number(after);
    const page = all.slice(from, from + limit);
    const fails = this.fails;
    await new Promise<void>((answer) => this.waiting.push(answer));
    if (fails) return { ok: false, failed: { code: "UNREACHABLE", message: "" } };
    const has_more = all.length > from + limit;
    return { ok: true, answer: { conversations: page, has_more, ...(has_more ? { next_cursor: String(from + limit) } : {}) } };
  }) as unknown as Ask;

  async answer(): Promise<void> {
    this.waiting.shift()?.();
    await settled();
  }
}

const settled = () => new Promise((done) => setTimeout(done, 0));

let server: Server;
let inbox: Inbox;
let later: (() => void)[];
let forgotten: string[];
const ids = (view: ViewName = "all") => inbox.view(view).rows.map(({ id }) => id);

beforeEach(() => {
  server = new Server();
  later = [];
  forgotten = [];
  inbox = new Inbox({ ask: server.ask, me: ME, soon: (run) => run(), later: (_ms, run) => void later.push(run), forgot: (id) => void forgotten.push(id) });
});

async function loaded() {
  inbox.resync("all");
  await server.answer();
}

describe("the inbox", () => {
  it("shows the newest first and moves what is heard of to the top", async () => {
    server.conversations = [conversation("a", 1), conversation("b", 2), conversation("c", 3)];
    await loaded();
    expect(ids()).toEqual(["c", "b", "a"]);
    inbox.updated(conversation("a", 4, { unread_count: 1 }), null);
    expect(ids()).toEqual(["a", "c", "b"]);
    expect(inbox.views.all.unread).toBe(1);
  });

  it("moves a resolved one to the other view, and back", async () => {
    server.conversations = [conversation("a", 1)];
    await loaded();
    inbox.show("resolved");
    await server.answer();
    inbox.updated(conversation("a", 2, { status: "resolved" }), null);
    expect([ids(), ids("resolved")]).toEqual([[], ["a"]]);
    inbox.updated(conversation("a", 3), null);
    expect([ids(), ids("resolved")]).toEqual([["a"], []]);
  });

  it("takes no old word for a new one, whichever comes first", async () => {
    server.conversations = [conversation("a", 1), conversation("b", 2)];
    inbox.resync("all");
    // Heard after the page was asked for, and told before it came.
    inbox.updated(conversation("a", 5, { unread_count: 3 }), null);
    await server.answer();
    expect(ids()).toEqual(["a", "b"]);
    expect(inbox.find("a")?.unread_count).toBe(3);
    inbox.updated(conversation("a", 4, { unread_count: 9 }), null);
    expect(inbox.find("a")?.unread_count).toBe(3);
  });

  it("keeps what was heard of a row that a page shows at the same time, but read less far", async () => {
    server.conversations = [conversation("a", 1, { unread_count: 2 })];
    inbox.resync("all");
    inbox.updated(conversation("a", 1, { unread_count: 0 }), null);
    await server.answer();
    expect(inbox.find("a")?.unread_count).toBe(0);
  });

  it("asks for one list at a time, and for what was wanted meanwhile after it", async () => {
    server.conversations = [conversation("a", 1), conversation("z", 2, { status: "resolved" })];
    inbox.resync("all");
    inbox.show("resolved");
    inbox.show("resolved");
    expect(server.asked).toBe(1);
    await server.answer();
    expect(server.asked).toBe(2);
    await server.answer();
    expect([ids(), ids("resolved")]).toEqual([["a"], ["z"]]);
  });

  it("drops the answer to a question of the connection before", async () => {
    server.conversations = [conversation("a", 1)];
    inbox.resync("all");
    server.conversations = [conversation("b", 2)];
    inbox.resync("all");
    await server.answer();
    expect(ids()).toEqual([]);
    await server.answer();
    expect(ids()).toEqual(["b"]);
  });

  it("after an absence lets go of what is gone and learns what is new, down to where it was", async () => {
    server.conversations = Array.from({ length: 250 }, (_, index) => conversation(`c${index}`, index + 1));
    await loaded();
    inbox.more("all");
    await server.answer();
    expect(ids().length).toBe(200);
    server.conversations = server.conversations.filter(({ id }) => id !== "c240").concat(conversation("new", 400));
    inbox.resync("all");
    await server.answer();
    await server.answer();
    expect(ids()[0]).toBe("new");
    expect(ids()).not.toContain("c240");
    expect(ids().length).toBe(200);
  });

  it("leaves to its page what lies below what is loaded", async () => {
    server.conversations = Array.from({ length: 150 }, (_, index) => conversation(`c${index}`, index + 1));
    await loaded();
    inbox.learn(conversation("c3", 4));
    expect(ids()).not.toContain("c3");
    inbox.presence({ app_id: "app_1", device_id: "device-c3", is_online: true, active_connections: 1 });
    expect(ids()).not.toContain("c3");
    inbox.more("all");
    await server.answer();
    expect(ids().length).toBe(150);
    expect(new Set(ids()).size).toBe(150);
    expect(inbox.find("c3")?.is_online).toBe(true);
  });

  it("loads the next page also where another list was on its way when it was asked for, and where that failed", async () => {
    server.conversations = Array.from({ length: 250 }, (_, index) => conversation(`c${index}`, index + 1, { assignee_id: ME }));
    await loaded();
    inbox.show("mine");
    inbox.more("all");
    // What is asked for from here on fails.
    server.fails = true;
    await server.answer();
    await server.answer();
    expect(ids().length).toBe(100);
    server.fails = false;
    later.shift()?.();
    await server.answer();
    expect(ids().length).toBe(200);
  });

  it("keeps the last row in its place when only its presence changes", async () => {
    server.conversations = Array.from({ length: 101 }, (_, index) => conversation(`c${index}`, index + 1));
    await loaded();
    const last = ids().at(-1) ?? "";
    inbox.presence({ app_id: "app_1", device_id: `device-${last}`, is_online: true, active_connections: 1 });
    expect(ids().at(-1)).toBe(last);
    expect(ids().length).toBe(100);
  });

  it("knows who is online from the list, and better from what is told", async () => {
    server.conversations = [conversation("a", 1, { is_online: true }), conversation("b", 2, { is_online: false })];
    await loaded();
    expect([inbox.find("a")?.is_online, inbox.find("b")?.is_online]).toEqual([true, false]);
    inbox.presence({ app_id: "app_1", device_id: "device-a", is_online: false, active_connections: 0 });
    inbox.updated(conversation("a", 3), null);
    expect(inbox.find("a")?.is_online).toBe(false);
  });

  it("keeps the last message where an event has none", async () => {
    const last_message = { id: "m", body: "Hello" } as Message;
    server.conversations = [conversation("a", 1, { last_message })];
    await loaded();
    inbox.updated(conversation("a", 2, { status: "open" }), undefined);
    expect(inbox.find("a")?.last_message?.body).toBe("Hello");
  });

  it("tries a list that failed again, later and later", async () => {
    server.fails = true;
    await loaded();
    expect(inbox.views.all.hasFailed).toBe(true);
    server.fails = false;
    server.conversations = [conversation("a", 1)];
    later.shift()?.();
    await server.answer();
    expect(ids()).toEqual(["a"]);
    expect(inbox.views.all.hasFailed).toBe(false);
  });

  it("holds ten thousand and takes twenty changes in a moment", async () => {
    inbox = new Inbox({ ask: server.ask, me: ME, soon: queueMicrotask, later: () => {}, forgot: () => {} });
    server.conversations = Array.from({ length: 10_000 }, (_, index) => conversation(`c${index}`, index + 1));
    await loaded();
    for (let page = 1; page < 100; page++) {
      inbox.more("all");
      await server.answer();
    }
    expect(ids().length).toBe(10_000);
    const started = performance.now();
    for (let index = 0; index < 20; index++) inbox.updated(conversation(`c${index * 400}`, 20_000 + index), null);
    expect(performance.now() - started).toBeLessThan(100);
    await settled();
    expect(ids()[0]).toBe("c7600");
  });

  it("has each row in the views that it belongs to, by the server's rules", async () => {
    server.conversations = [conversation("a", 1, { assignee_id: ME }), conversation("b", 2, { waiting_since: at(2) }), conversation("c", 3, { assignee_id: "agt_ben", waiting_since: at(1) })];
    await all();
    const everywhere = () => [ids("mine"), ids("unassigned"), ids("waiting"), ids("all"), ids("resolved")];
    expect(everywhere()).toEqual([["a"], ["b"], ["c", "b"], ["c", "b", "a"], []]);
    // Somebody takes one; the other is answered; then it is given away, released, and resolved.
    inbox.updated(conversation("b", 2, { assignee_id: ME, waiting_since: at(2) }), undefined);
    inbox.updated(conversation("c", 4, { assignee_id: "agt_ben" }), undefined);
    expect(everywhere()).toEqual([["b", "a"], [], ["b"], ["c", "b", "a"], []]);
    inbox.updated(conversation("b", 2, { waiting_since: at(2) }), undefined);
    expect(everywhere()).toEqual([["a"], ["b"], ["b"], ["c", "b", "a"], []]);
    inbox.updated(conversation("b", 5, { status: "resolved", waiting_since: at(2) }), undefined);
    expect(everywhere()).toEqual([["a"], [], [], ["c", "a"], ["b"]]);
  });

  it("has who has waited longest first, whoever wrote last", async () => {
    server.conversations = [conversation("a", 1, { waiting_since: at(1) }), conversation("b", 2, { waiting_since: at(2) })];
    inbox.resync("waiting");
    await server.answer();
    inbox.updated(conversation("a", 9, { waiting_since: at(1) }), undefined);
    inbox.updated(conversation("c", 3, { waiting_since: at(3) }), undefined);
    expect(ids("waiting")).toEqual(["a", "b", "c"]);
  });

  it("takes the answer to a change for what was when it was asked, where something was heard since", async () => {
    server.conversations = [conversation("a", 1)];
    await loaded();
    const asked = inbox.now;
    inbox.updated(conversation("a", 1, { assignee_id: ME }), undefined);
    inbox.updated(conversation("a", 1, { assignee_id: "agt_ben" }), undefined);
    inbox.learn(conversation("a", 1, { assignee_id: ME }), asked);
    expect(inbox.find("a")?.assignee_id).toBe("agt_ben");
  });

  it("lets go of what is a view's no longer, and not of what another one knows better", async () => {
    server.conversations = [conversation("a", 1, { assignee_id: ME }), conversation("b", 2, { assignee_id: ME })];
    await all();
    server.conversations = [conversation("a", 1, { assignee_id: "agt_ben" })];
    inbox.resync("mine");
    await server.answer();
    expect([ids("mine"), forgotten.sort()]).toEqual([[], ["a", "b"]]);
    inbox.show("all");
    await server.answer();
    expect([ids("mine"), ids("all")]).toEqual([[], ["a"]]);
  });

  it("has nothing of its own for a program that is nobody's", () => {
    inbox = new Inbox({ ask: server.ask, me: undefined, soon: (run) => run(), later: () => {}, forgot: () => {} });
    expect(inbox.names).toEqual(["unassigned", "waiting", "all", "resolved"]);
    inbox.updated(conversation("a", 1), undefined);
    expect(ids("mine")).toEqual([]);
  });
});

async function all() {
  inbox.resync("all");
  await server.answer();
  for (const name of ["mine", "unassigned", "waiting", "resolved"] as const) {
    inbox.show(name);
    await server.answer();
  }
}
