import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

// Random bytes are drawn in bulk: one call per id costs more than the id.
let pool = randomBytes(4096);
let used = 0;

/** An opaque id with a prefix, 96 random bits. */
export function newId(prefix) {
  if (used + 12 > pool.length) {
    pool = randomBytes(4096);
    used = 0;
  }
  const id = pool.toString('base64url', used, used + 12);
  used += 12;
  return `${prefix}_${id}`;
}

/** A secret of 256 random bits with a recognisable prefix. */
export function newSecret(prefix) {
  return `${prefix}_${randomBytes(32).toString('base64url')}`;
}

export function sha256(text) {
  return createHash('sha256').update(text).digest();
}

export function sameHash(left, right) {
  return left.length === right.length && timingSafeEqual(left, right);
}
