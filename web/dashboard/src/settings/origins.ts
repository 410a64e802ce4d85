// Origins, as browsers write them.

/** A scheme and a host, perhaps a port, and nothing else. */
export function isOrigin(text: string): boolean {
  try {
    const { protocol, origin } = new URL(text);
    return /^https?:$/.test(protocol) && origin === text.toLowerCase();
  } catch {
    return false;
  }
}
