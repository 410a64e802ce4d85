// Who is told of a new message, and how: one tab speaks for all of this browser, and none while somebody looks.
import type { ConversationUpdated } from "../../../wire/generated/protocol.ts";

/** What the tabs say to each other. */
type Word =
  /** A tab has the focus, with that conversation open, or has lost it. */
  | { kind: "looks"; tab: string; conversation: string | undefined }
  | { kind: "looks-away"; tab: string }
  /** The tab that leads may not make a noise: another one may. */
  | { kind: "sound" };

/** What is told of a message. */
export interface Notice {
  conversation: string;
  name: string | undefined;
  body: string;
}

/** What it needs from the browser. */
export interface Browser {
  /** This tab's name. */
  tab: string;
  /** Runs it as soon as no other tab leads; what it returns gives the lead away. */
  lead(run: () => void): () => void;
  channel: { post(word: Word): void; hear(word: (word: Word) => void): void; close(): void };
  /** Shows it above other windows; returns what takes it away. */
  show(notice: Notice, open: () => void): () => void;
  /** Makes a noise, if this tab may. */
  ring(): boolean;
  /** As `ring`, of all tabs that are asked at once in one only. */
  ringOnce(): void;
}

/** Whose inbox it is, and what they want. */
export interface Wishes {
  me: string | undefined;
  isAway(): boolean;
  notifies(): boolean;
  sounds(): boolean;
  /** How far the conversation was known to go. */
  lastSeq(conversation: string): number | undefined;
  open(conversation: string): void;
}

export class Notices {
  #browser: Browser;
  #wishes: Wishes;
  #leads = false;
  #giveUp: () => void;
  /** Tabs that have the focus, with what they look at. */
  #looking = new Map<string, string | undefined>();
  #shown = new Map<string, () => void>();

  constructor(browser: Browser, wishes: Wishes) {
    this.#browser = browser;
    this.#wishes = wishes;
    browser.channel.hear((word) => this.#heard(word));
    this.#giveUp = browser.lead(() => (this.#leads = true));
  }

  close(): void {
    this.looks(false, undefined);
    this.#leads = false;
    this.#giveUp();
    this.#browser.channel.close();
    for (const takeAway of this.#shown.values()) takeAway();
  }

  /** Whether this tab has the focus, and which conversation is open in it. */
  looks(hasFocus: boolean, conversation: string | undefined): void {
    const { tab } = this.#browser;
    const word: Word = hasFocus ? { kind: "looks", tab, conversation } : { kind: "looks-away", tab };
    this.#heard(word);
    this.#browser.channel.post(word);
  }

  /** `conversation:updated`, before the inbox takes it. */
  updated({ conversation, last_message }: ConversationUpdated): void {
    const { id, unread_count, assignee_id, last_seq } = conversation;
    if (unread_count === 0) return this.#takeAway(id);
    const known = this.#wishes.lastSeq(id);
    const isNew = last_message?.sender === "user" && last_message.seq === last_seq && (known === undefined || last_seq > known);
    const isOurs = !assignee_id || assignee_id === this.#wishes.me;
    if (!this.#leads || !isNew || !isOurs || this.#wishes.isAway()) return;
    // Who looks at it needs nobody to tell them, and who looks at another one hears it.
    if ([...this.#looking.values()].includes(id)) return;
    if (this.#wishes.sounds() && !this.#browser.ring()) this.#browser.channel.post({ kind: "sound" });
    if (!this.#wishes.notifies() || this.#looking.size > 0) return;
    this.#takeAway(id);
    const notice = { conversation: id, name: conversation.user_name ?? undefined, body: last_message.body };
    this.#shown.set(id, this.#browser.show(notice, () => this.#wishes.open(id)));
  }

  #takeAway(id: string): void {
    this.#shown.get(id)?.();
    this.#shown.delete(id);
  }

  #heard(word: Word): void {
    if (word.kind === "sound") return this.#browser.ringOnce();
    if (word.kind === "looks-away") this.#looking.delete(word.tab);
    else {
      // One window has the focus at a time; a tab that was closed said nothing.
      this.#looking.clear();
      this.#looking.set(word.tab, word.conversation);
      if (word.conversation) this.#takeAway(word.conversation);
    }
  }
}
