// Letters as the server counts them, and as keys bring them.

/** The most characters of a message. */
export const BODY_CHARS = 5000;

/** How many characters the server sees: code points, not UTF-16 units. */
export const characters = (text: string): number => {
  let count = 0;
  for (const _ of text) count++;
  return count;
};

/** Whether a key belongs to an input method that composes: 229 is what Safari sends just after it has ended. */
export const isComposing = (event: { isComposing: boolean; keyCode: number }): boolean =>
  event.isComposing || event.keyCode === 229;

const emoji = /^(?:\p{RGI_Emoji}\s*){1,3}$/v;

/** Up to three emoji and nothing else. */
export const isEmojiOnly = (text: string): boolean => text.length <= 64 && emoji.test(text.trim());
