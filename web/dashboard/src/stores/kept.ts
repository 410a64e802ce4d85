// What this browser keeps. Storage may be refused, full or emptied by others; then what is kept lasts as long as the page.

export interface Kept {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  remove(key: string): void;
  keys(prefix: string): string[];
}

/** Keeps in this page only. */
export class Memory implements Kept {
  #values = new Map<string, string>();
  get(key: string): string | undefined {
    return this.#values.get(key);
  }
  set(key: string, value: string): void {
    this.#values.set(key, value);
  }
  remove(key: string): void {
    this.#values.delete(key);
  }
  keys(prefix: string): string[] {
    return [...this.#values.keys()].filter((key) => key.startsWith(prefix));
  }
}

/** Keeps in the browser's storage what it takes, and the rest in the page. */
export class Lasting implements Kept {
  #storage: () => Storage;
  #memory = new Memory();

  /** Asked for each time: a browser that refuses it throws. */
  constructor(storage: () => Storage) {
    this.#storage = storage;
  }

  get(key: string): string | undefined {
    try {
      return this.#memory.get(key) ?? this.#storage().getItem(key) ?? undefined;
    } catch {
      return this.#memory.get(key);
    }
  }

  set(key: string, value: string): void {
    try {
      this.#storage().setItem(key, value);
      this.#memory.remove(key);
    } catch {
      this.#memory.set(key, value);
    }
  }

  remove(key: string): void {
    this.#memory.remove(key);
    try {
      this.#storage().removeItem(key);
    } catch {
      // Then it keeps nothing either.
    }
  }

  keys(prefix: string): string[] {
    const found = new Set(this.#memory.keys(prefix));
    try {
      const storage = this.#storage();
      for (let i = 0; i < storage.length; i++) {
        const key = storage.key(i);
        if (key?.startsWith(prefix)) found.add(key);
      }
    } catch {
      // Then there is only what the page has.
    }
    return [...found];
  }
}
