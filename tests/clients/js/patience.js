// Waiting for what happens, never for time to pass.

/** How long anything may take before a test fails, in milliseconds. Far more than is ever needed. */
export const PATIENCE = 20_000;

/** The promise's value; an error that says what was waited for, if it does not come. */
export async function patiently(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE} ms for ${what}`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
