// What time it is, for what is shown: a minute is exact enough, and a second while something counts down.
const MINUTE_MS = 60_000;

export class Clock {
  now = $state(Date.now());

  /** Keeps it going; returns what stops it. */
  run(everyMs = MINUTE_MS): () => void {
    const tick = () => {
      this.now = Date.now();
    };
    tick();
    const timer = setInterval(tick, everyMs);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }
}
