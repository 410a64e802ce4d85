// Socket.IO's packets (protocol 5, in Engine.IO 4) as text frames of a WebSocket: what an agent's page needs of them.

export type Packet =
  /** Engine.IO's handshake. */
  | { kind: "open"; pingInterval: number; pingTimeout: number }
  /** Engine.IO asks whether somebody is there. */
  | { kind: "ping" }
  /** The namespace has let us in. */
  | { kind: "connected" }
  /** The namespace has refused us. */
  | { kind: "refused"; code: string }
  /** The server has put us out of the namespace. */
  | { kind: "disconnected" }
  | { kind: "event"; name: string; payload: unknown }
  | { kind: "answer"; id: number; payload: unknown }
  /** What we have no use for, or is no packet. */
  | { kind: "unknown" };

const UNKNOWN: Packet = { kind: "unknown" };

/** Reads a frame of the namespace. Never throws: what can't be read is unknown. */
export function read(frame: string, namespace: string): Packet {
  try {
    return parse(frame, namespace);
  } catch {
    return UNKNOWN;
  }
}

function parse(frame: string, namespace: string): Packet {
  if (frame.startsWith("0")) {
    const { pingInterval, pingTimeout } = JSON.parse(frame.slice(1));
    return { kind: "open", pingInterval, pingTimeout };
  }
  if (frame === "2") return { kind: "ping" };
  const match = /^4([0-4])([^,]*),(\d*)/.exec(frame);
  if (!match || match[2] !== namespace) return UNKNOWN;
  const text = frame.slice(match[0].length);
  const content = text && JSON.parse(text);
  switch (match[1]) {
    case "0":
      return { kind: "connected" };
    case "1":
      return { kind: "disconnected" };
    case "2":
      return { kind: "event", name: content[0], payload: content[1] };
    case "3":
      return { kind: "answer", id: Number(match[3]), payload: content[0] };
    default:
      return { kind: "refused", code: content.message };
  }
}

export const PONG = "3";

/** Asks to be let into the namespace. */
export const connect = (namespace: string, auth: object) => `40${namespace},${JSON.stringify(auth)}`;

/** An event; with an id the server answers it. */
export const event = (namespace: string, name: string, payload: object, id: number | "" = "") =>
  `42${namespace},${id}${JSON.stringify([name, payload])}`;
