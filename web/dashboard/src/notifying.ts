// What tells of new messages, as browsers have it: locks and a channel between tabs, notifications.
import type { Browser } from "./stores/notices.ts";
import type { Sound } from "./stores/sound.svelte.ts";
import { words } from "./words.ts";

/** How long nobody else rings who was asked, too. */
const RUNG_MS = 1_000;
/** How much of a message is shown. */
const BODY_CHARS = 200;

/** `who` has tabs of their own. */
export function notifying(who: string, sound: Sound): Browser {
  const name = `replyhq.notices.${who}`;
  const channel = new BroadcastChannel(name);
  // Without TLS browsers have no locks; then each tab speaks for itself, and shows nothing above other windows anyway.
  const locks = navigator.locks as LockManager | undefined;
  return {
    tab: [...crypto.getRandomValues(new Uint8Array(8))].join("-"),
    lead: (run) => {
      if (!locks) {
        run();
        return () => {};
      }
      const giveUp = new AbortController();
      let end = () => {};
      const held = () => {
        run();
        return new Promise<void>((done) => (end = done));
      };
      locks.request(name, { signal: giveUp.signal }, held).catch(() => {});
      return () => {
        giveUp.abort();
        end();
      };
    },
    channel: {
      post: (word) => channel.postMessage(word),
      hear: (hear) => {
        channel.onmessage = ({ data }) => hear(data);
      },
      close: () => channel.close(),
    },
    show: ({ conversation, name: person, body }, open) => {
      try {
        const shown = new Notification(person ?? words.person.nobody, { body: body.slice(0, BODY_CHARS), tag: conversation, silent: true });
        shown.onclick = () => {
          window.focus();
          open();
          shown.close();
        };
        return () => shown.close();
      } catch {
        // Not allowed, or a phone's browser, which has them for installed pages only.
        return () => {};
      }
    },
    ring: () => sound.ring(),
    ringOnce: () => {
      if (!sound.isUnlocked || !locks) return;
      const ring = async (lock: Lock | null) => {
        if (!lock) return;
        sound.ring();
        await new Promise((done) => setTimeout(done, RUNG_MS));
      };
      void locks.request(`${name}.sound`, { ifAvailable: true }, ring);
    },
  };
}

/** Whether the browser has notifications for this page, and what it was told about them. */
export const permission = (): NotificationPermission | "none" => (typeof Notification === "undefined" || !isSecureContext ? "none" : Notification.permission);
