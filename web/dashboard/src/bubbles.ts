// Messages as a column: days, groups of one speaker, and marks below the last message that each covers. What happened beside them
// stands where it did.
import type { Activity, Message, MessageStatus, Receipts } from "../../wire/generated/protocol.ts";
import { statusOf } from "./stores/thread.svelte.ts";
import { isSameDay } from "./times.ts";
import { words } from "./words.ts";

/** Consecutive messages of one speaker are a group within this time. */
const GROUP_MS = 5 * 60_000;

/** What one did within this time is one line. */
const LINE_MS = 60_000;

const RANK: Record<MessageStatus, number> = { sent: 0, delivered: 1, read: 2 };

export interface Bubble {
  message: Message;
  /** The mark below it, if it is the last one that the mark covers. */
  mark: "sent" | "delivered" | "read" | undefined;
}

export type Block =
  | { kind: "day"; key: string; at: string }
  | { kind: "new"; key: string; count: number }
  | { kind: "note"; key: string; note: Activity }
  | { kind: "happened"; key: string; what: readonly Activity[] }
  | { kind: "group"; key: string; side: "them" | "us" | "system"; speaker: string; name: string | undefined; at: string; bubbles: Bubble[] };

/** What was unread when the conversation was opened. */
export interface Unread {
  /** The first of them. */
  seq: number;
  count: number;
}

/** What the team has not read beyond `read`, if anything. */
export function unreadBeyond(messages: readonly Message[], read: number): Unread | undefined {
  const unread = messages.filter(({ seq, sender }) => seq > read && sender === "user");
  return unread[0] && { seq: unread[0].seq, count: unread.length };
}

export function blocks(
  messages: readonly Message[],
  receipts: Receipts,
  unread: Unread | undefined,
  activity: readonly Activity[] = [],
): Block[] {
  const column: Block[] = [];
  const marks = lastMarks(messages, receipts);
  let before: Message | undefined;
  let day: string | undefined;
  const begin = (at: string, key: string) => {
    if (day === undefined || !isSameDay(day, at)) column.push({ kind: "day", key: `day-${key}`, at });
    day = at;
  };
  let next = 0;
  /** What happened until then. */
  const happened = (until: string | undefined) => {
    for (let one = activity[next]; one && (until === undefined || one.at <= until); one = activity[++next]) {
      if (!isShown(one)) continue;
      begin(one.at, `n${one.n}`);
      const last = column.at(-1);
      const first = last?.kind === "happened" ? last.what[0] : undefined;
      if (one.kind === "note") column.push({ kind: "note", key: `n${one.n}`, note: one });
      else if (last?.kind === "happened" && first?.by && first.by.id === one.by?.id && Date.parse(one.at) - Date.parse(first.at) < LINE_MS) {
        column[column.length - 1] = { ...last, what: [...last.what, one] };
      } else column.push({ kind: "happened", key: `n${one.n}`, what: [one] });
    }
  };
  for (const message of messages) {
    happened(message.created_at);
    begin(message.created_at, message.id);
    if (message.seq === unread?.seq) column.push({ kind: "new", key: `new-${message.id}`, count: unread.count });
    const bubble = { message, mark: marks.get(message.seq) };
    const last = column.at(-1);
    const speaker = speakerOf(message);
    if (last?.kind === "group" && before && last.speaker === speaker && isNear(before, message)) last.bubbles.push(bubble);
    else {
      const side = message.sender === "user" ? "them" : message.sender === "agent" ? "us" : "system";
      const { sender_name, created_at } = message;
      column.push({ kind: "group", key: message.id, side, speaker, name: sender_name ?? undefined, at: created_at, bubbles: [bubble] });
    }
    before = message;
  }
  happened(undefined);
  return column;
}

/** Kinds that this page has no words for are shown as nothing. */
const isShown = ({ kind }: Activity) => kind === "note" || kind in words.activity;

const speakerOf = ({ sender, sender_id, sender_name }: Message) => `${sender}:${sender === "user" ? "" : (sender_id ?? sender_name ?? "")}`;

const isNear = (a: Message, b: Message) => Date.parse(b.created_at) - Date.parse(a.created_at) < GROUP_MS;

/** The last of our messages with each status: one mark says it for all above. */
function lastMarks(messages: readonly Message[], receipts: Receipts): Map<number, Bubble["mark"]> {
  const last = new Map<Bubble["mark"], number>();
  for (const { sender, seq, status } of messages) {
    // What the message said of itself holds until more is known.
    const heard = statusOf(seq, receipts.user_delivered_seq, receipts.user_read_seq);
    if (sender === "agent") last.set(RANK[heard] > RANK[status] ? heard : status, seq);
  }
  return new Map([...last].map(([mark, seq]) => [seq, mark]));
}
