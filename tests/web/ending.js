// What a test has begun is ended in the opposite order: pages before the server that they speak to.

const stacks = new WeakMap();

export function atEnd(t, end) {
  const stack = stacks.get(t) ?? [];
  if (stack.length === 0) {
    stacks.set(t, stack);
    t.after(async () => {
      const failed = [];
      for (const one of stack.reverse()) await Promise.resolve(one()).catch((error) => failed.push(error));
      if (failed.length > 0) throw failed[0];
    });
  }
  stack.push(end);
}
