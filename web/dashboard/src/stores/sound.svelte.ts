// The sound of a new message. Browsers let a page make a noise only after somebody has clicked or typed in it.

const HERTZ = [660, 880];
const NOTE_S = 0.11;
const LOUDNESS = 0.12;

export class Sound {
  /** Whether the browser lets us. */
  isUnlocked = $state(false);
  #context: AudioContext | undefined;

  /** Tries to be let, which works within a click. */
  unlock(): void {
    try {
      this.#context ??= new AudioContext();
      const context = this.#context;
      context.onstatechange = () => (this.isUnlocked = context.state === "running");
      this.isUnlocked = context.state === "running";
      if (context.state !== "running") void context.resume().catch(() => {});
    } catch {
      // A machine without sound.
    }
  }

  /** Makes the noise, and says whether it could. */
  ring(): boolean {
    const context = this.#context;
    if (context?.state !== "running") return false;
    HERTZ.forEach((hertz, index) => {
      const start = context.currentTime + index * NOTE_S;
      const [tone, volume] = [context.createOscillator(), context.createGain()];
      tone.frequency.value = hertz;
      volume.gain.setValueAtTime(LOUDNESS, start);
      volume.gain.exponentialRampToValueAtTime(0.001, start + NOTE_S);
      tone.connect(volume).connect(context.destination);
      tone.start(start);
      tone.stop(start + NOTE_S);
    });
    return true;
  }
}
