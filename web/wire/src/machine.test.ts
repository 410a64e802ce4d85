import { beforeEach, describe, expect, it } from "vitest";
import { type Answer, Machine, type State } from "./machine.ts";

const OPEN = '0{"sid":"s","pingInterval":25000,"pingTimeout":60000}';
const CONNECTED = '40/admin,{"sid":"x"}';

/** A machine with a port that writes down what it is told. */
class Bench {
  dialled = 0;
  hungUp = 0;
  written: string[] = [];
  states: State["kind"][] = [];
  heard: string[] = [];
  luck = 0.5;
  machine = new Machine(
    {
      dial: () => void this.dialled++,
      write: (frame) => void this.written.push(frame),
      hangUp: () => void this.hungUp++,
      changed: (state) => void this.states.push(state.kind),
      heard: (name) => void this.heard.push(name),
      chance: () => this.luck,
    },
    "/admin",
    { token: "t" },
  );

  online(now: number) {
    this.machine.start(now);
    this.machine.frame(OPEN, now);
    this.machine.frame(CONNECTED, now);
    this.written.length = 0;
  }

  until(): number {
    const { state } = this.machine;
    return state.kind === "waiting" ? state.until : Number.NaN;
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe("the connection", () => {
  it("dials, logs in, answers pings", () => {
    bench.machine.start(0);
    bench.machine.frame(OPEN, 5);
    expect(bench.written).toEqual(['40/admin,{"token":"t"}']);
    bench.machine.frame(CONNECTED, 9);
    bench.machine.frame("2", 9);
    expect(bench.states).toEqual(["connecting", "online"]);
    expect(bench.written.at(-1)).toBe("3");
  });

  it("gives up a login that takes too long", () => {
    bench.machine.start(0);
    expect(bench.machine.wakeAt).toBe(10_000);
    bench.machine.tick(10_000);
    expect(bench.machine.state).toEqual({ kind: "waiting", until: 10_500 });
    bench.machine.tick(10_500);
    expect(bench.dialled).toBe(2);
  });

  it("comes back with full jitter, up to half a minute, and from the start after a success", () => {
    bench.luck = 0.999_999;
    bench.online(0);
    const delays: number[] = [];
    let now = 0;
    for (let i = 0; i < 7; i++) {
      bench.machine.closed(now);
      delays.push(Math.round(bench.until() - now));
      now = bench.until();
      bench.machine.tick(now);
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    bench.machine.frame(OPEN, now);
    bench.machine.frame(CONNECTED, now);
    bench.machine.closed(now);
    expect(Math.round(bench.until() - now)).toBe(1000);
  });

  it("waits as long as a server that leaves has said", () => {
    bench.online(0);
    bench.machine.frame('42/admin,["server:shutdown",{"message":"","reconnect_delay_ms":2345}]', 100);
    bench.machine.closed(200);
    expect(bench.until()).toBe(2545);
    expect(bench.heard).toEqual(["server:shutdown"]);
  });

  it("stays away when it is refused, or its token ends", () => {
    bench.machine.start(0);
    bench.machine.frame(OPEN, 0);
    bench.machine.frame('44/admin,{"message":"INVALID_CREDENTIALS"}', 0);
    expect(bench.machine.state).toEqual({ kind: "refused", code: "INVALID_CREDENTIALS" });
    expect(bench.machine.wakeAt).toBe(Infinity);

    const other = new Bench();
    other.online(0);
    other.machine.frame('42/admin,["error",{"code":"INVALID_CREDENTIALS"}]', 0);
    other.machine.frame("41/admin,", 0);
    expect(other.machine.state.kind).toBe("refused");
  });

  it("comes back after a refusal that passes by itself", () => {
    for (const code of ["AUTH_ERROR", "RATE_LIMITED", "SERVER_ERROR", "SHUTTING_DOWN", "A_NEW_ONE"]) {
      bench = new Bench();
      bench.machine.start(0);
      bench.machine.frame(OPEN, 0);
      bench.machine.frame(`44/admin,{"message":"${code}"}`, 0);
      expect(bench.machine.state).toEqual({ kind: "waiting", until: 500 });
      bench.machine.tick(500);
      expect(bench.dialled).toBe(2);
    }
  });

  it("comes back after an end that passes by itself", () => {
    bench.online(0);
    bench.machine.frame('42/admin,["error",{"code":"HISTORY_CHANGED"}]', 0);
    bench.machine.closed(0);
    expect(bench.machine.state.kind).toBe("waiting");
  });

  it("asks at once who is there when it wakes, and waits 3 seconds for it", () => {
    bench.online(0);
    const later = 20_000;
    bench.machine.wake(later);
    bench.machine.wake(later + 1);
    expect(bench.written).toEqual(['42/admin,0["ping",{}]']);
    bench.machine.tick(later + 2999);
    expect(bench.machine.state.kind).toBe("online");
    bench.machine.tick(later + 3000);
    expect(bench.machine.state.kind).toBe("waiting");
  });

  it("has no hope for a connection over which it has slept, and dials at once", () => {
    for (const wakes of [(now: number) => bench.machine.wake(now), (now: number) => bench.machine.tick(now)]) {
      bench = new Bench();
      bench.online(0);
      let lost = 0;
      bench.machine.ask("message:send", {}, 0, ({ kind }) => void (lost += kind === "lost" ? 1 : 0));
      wakes(600_000);
      expect([bench.dialled, bench.machine.state.kind, lost]).toEqual([2, "connecting", 1]);
    }
  });

  it("goes on when the probe is answered", () => {
    bench.online(0);
    bench.machine.wake(1000);
    bench.machine.frame('43/admin,0["pong"]', 1200);
    bench.machine.tick(4000);
    expect(bench.machine.state.kind).toBe("online");
  });

  it("doubts a server whose ping is late", () => {
    bench.online(0);
    expect(bench.machine.wakeAt).toBe(30_000);
    bench.machine.tick(30_000);
    expect(bench.written).toEqual(['42/admin,0["ping",{}]']);
    bench.machine.tick(33_000);
    expect(bench.machine.state.kind).toBe("waiting");
  });

  it("tries at once when it wakes while it waits", () => {
    bench.online(0);
    bench.machine.closed(0);
    bench.machine.wake(1);
    expect(bench.dialled).toBe(2);
  });

  it("hears nothing of a connection that is over", () => {
    bench.online(0);
    bench.machine.stop();
    bench.machine.closed(1);
    bench.machine.tick(100_000);
    expect(bench.machine.state.kind).toBe("stopped");
    expect(bench.dialled).toBe(1);
  });
});

describe("a request", () => {
  const answers: Answer[] = [];
  const ask = (now = 0) => bench.machine.ask("message:send", { body: "x" }, now, (answer) => answers.push(answer));
  beforeEach(() => {
    answers.length = 0;
  });

  it("is answered by what the server says, once", () => {
    bench.online(0);
    ask();
    expect(bench.written).toEqual(['42/admin,1["message:send",{"body":"x"}]']);
    bench.machine.frame('43/admin,1[{"success":true,"message":{"seq":4}}]', 10);
    bench.machine.frame('43/admin,1[{"success":true,"message":{"seq":4}}]', 11);
    expect(answers).toEqual([{ kind: "done", payload: { success: true, message: { seq: 4 } } }]);
  });

  it("that failed says why, and when to try again", () => {
    bench.online(0);
    ask();
    bench.machine.frame('43/admin,1[{"success":false,"error":"RATE_LIMITED","message":"slow","retry_after_ms":40}]', 10);
    expect(answers).toEqual([{ kind: "failed", code: "RATE_LIMITED", message: "slow", retryAfterMs: 40 }]);
  });

  it("is lost with its connection, with its time, and without a connection", () => {
    ask();
    bench.online(0);
    ask();
    bench.machine.tick(10_000);
    ask(10_000);
    bench.machine.closed(10_001);
    expect(answers).toEqual([
      { kind: "lost", isLate: false },
      { kind: "lost", isLate: true },
      { kind: "lost", isLate: false },
    ]);
  });
});
