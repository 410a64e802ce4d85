// Messages as a column: days, groups of one speaker, and marks below the last message that each covers.
import type { Message, MessageStatus, Receipts } from "../../wire/generated/protocol.ts";
import { statusOf } from "./stores/thread.svelte.ts";
import { isSameDay } from "./times.ts";

/** Consecutive messages of one speaker are a group within this time. */
const GROUP_MS = 5 * 60_000;

const RANK: Record<MessageStatus, number> = { sent: 0, delivered: 1, read: 2 };

export interface Bubble {
  message: Message;
  /** The mark below it, if it is the last one that the mark covers. */
  mark: "sent" | "delivered" | "read" | undefined;
}

export type Block =
  | { kind: "day"; key: string; at: string }
  | { kind: "new"; key: string; count: number }
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

export function blocks(messages: readonly Message[], receipts: Receipts, unread: Unread | undefined): Block[] {
  const column: Block[] = [];
  const marks = lastMarks(messages, receipts);
  let before: Message | undefined;
  for (const message of messages) {
    if (!before || !isSameDay(before.created_at, message.created_at)) {
      column.push({ kind: "day", key: `day-${message.id}`, at: message.created_at });
    }
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
  return column;
}

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
