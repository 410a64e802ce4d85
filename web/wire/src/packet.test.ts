import { describe, expect, it } from "vitest";
import { connect, event, read } from "./packet.ts";

describe("packets", () => {
  it("are read as the server writes them", () => {
    const table: [string, object][] = [
      ['0{"sid":"s","pingInterval":25000,"pingTimeout":60000,"upgrades":[]}', { kind: "open", pingInterval: 25000, pingTimeout: 60000 }],
      ["2", { kind: "ping" }],
      ['40/admin,{"sid":"x"}', { kind: "connected" }],
      ['44/admin,{"message":"FORBIDDEN","data":{}}', { kind: "refused", code: "FORBIDDEN" }],
      ["41/admin,", { kind: "disconnected" }],
      ['42/admin,["message:new",{"seq":1}]', { kind: "event", name: "message:new", payload: { seq: 1 } }],
      ['43/admin,12[{"success":true}]', { kind: "answer", id: 12, payload: { success: true } }],
      ['43/admin,0["pong"]', { kind: "answer", id: 0, payload: "pong" }],
    ];
    for (const [frame, packet] of table) expect(read(frame, "/admin")).toEqual(packet);
  });

  it("that are none are unknown, and never an error", () => {
    for (const frame of ["", "6", "42", "42/admin", "42/client,[]", "42/admin,[", "0", "45/admin,1-", "43/admin,[", "nonsense"]) {
      expect(read(frame, "/admin")).toEqual({ kind: "unknown" });
    }
  });

  it("are written as Socket.IO has them", () => {
    expect(connect("/admin", { app_id: "a" })).toBe('40/admin,{"app_id":"a"}');
    expect(event("/admin", "ping", {}, 0)).toBe('42/admin,0["ping",{}]');
    expect(event("/admin", "typing:start", { conversation_id: "c" })).toBe('42/admin,["typing:start",{"conversation_id":"c"}]');
  });
});
