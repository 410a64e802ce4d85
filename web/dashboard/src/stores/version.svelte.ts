// Whether the server has another version of this page than the one that runs.

/** Looks once for each new connection: a deployment ends all of them. */
export class Version {
  isOld = $state(false);
  #page: () => Promise<string>;
  #script: string;

  /** `script` is the path of the script that runs; its name has its content's hash. */
  constructor(script: string, page: () => Promise<string>) {
    this.#script = script;
    this.#page = page;
  }

  async check(): Promise<void> {
    try {
      this.isOld ||= !(await this.#page()).includes(this.#script);
    } catch {
      // The next connection looks again.
    }
  }
}
