/** SHA-256 and its HMAC: those of `node:crypto` where there is one, else made here. Never WebCrypto, which is asynchronous and cannot hash piece by piece. */

import { nodeCrypto } from "./runtime.js";

/** Takes bytes piece by piece. */
export interface Digest {
  update(bytes: Uint8Array): unknown;
  digest(): Uint8Array;
}

/** The round constants, then the initial state: 32 bits of the fractions of roots of the first primes (FIPS 180-4, sections 4.2.2 and 5.3.3). */
let constants: Uint32Array[] | undefined;

function fractions(count: number, root: number): Uint32Array {
  const found = new Uint32Array(count);
  for (let candidate = 2, index = 0; index < count; candidate++) {
    let factor = 2;
    while (candidate % factor !== 0) factor++;
    if (factor === candidate) found[index++] = (candidate ** (1 / root) % 1) * 2 ** 32;
  }
  return found;
}

function rotated(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

/** SHA-256 in JavaScript. */
export class Sha256 implements Digest {
  readonly #rounds: Uint32Array;
  readonly #state: Uint32Array;
  readonly #block = new DataView(new ArrayBuffer(64));
  readonly #bytes = new Uint8Array(this.#block.buffer);
  readonly #words = new Uint32Array(64);
  #length = 0;

  constructor() {
    const [rounds, state] = (constants ??= [fractions(64, 3), fractions(8, 2)]) as [Uint32Array, Uint32Array];
    this.#rounds = rounds;
    this.#state = state.slice();
  }

  update(bytes: Uint8Array): this {
    for (let from = 0; from < bytes.length; ) {
      const at = this.#length % 64;
      const piece = bytes.subarray(from, from + 64 - at);
      this.#bytes.set(piece, at);
      this.#length += piece.length;
      from += piece.length;
      if (at + piece.length === 64) this.#compress();
    }
    return this;
  }

  digest(): Uint8Array {
    const bits = this.#length * 8;
    this.update(Uint8Array.of(0x80)).update(new Uint8Array((120 - (this.#length % 64)) % 64));
    const end = new DataView(new ArrayBuffer(32));
    end.setUint32(0, bits / 2 ** 32);
    end.setUint32(4, bits);
    this.update(new Uint8Array(end.buffer, 0, 8));
    this.#state.forEach((word, index) => end.setUint32(index * 4, word));
    return new Uint8Array(end.buffer);
  }

  #compress(): void {
    const words = this.#words;
    const state = this.#state;
    let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        words[i] = this.#block.getUint32(i * 4);
      } else {
        const early = words[i - 15]!;
        const late = words[i - 2]!;
        const s0 = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
        const s1 = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
        words[i] = words[i - 16]! + s0 + words[i - 7]! + s1;
      }
      const one = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + this.#rounds[i]! + words[i]!;
      const two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, index) => {
      state[index]! += word;
    });
  }
}

/** A new SHA-256. */
export function sha256(): Digest {
  return nodeCrypto?.createHash("sha256") ?? new Sha256();
}

/** The HMAC-SHA-256 of the parts, one after the other (RFC 2104). */
export function hmac(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const mac = nodeCrypto?.createHmac("sha256", key);
  if (mac === undefined) return ownHmac(key, parts);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** {@link hmac} in JavaScript. */
export function ownHmac(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? new Sha256().update(key).digest() : key);
  const inner = new Sha256().update(block.map((byte) => byte ^ 0x36));
  for (const part of parts) inner.update(part);
  return new Sha256().update(block.map((byte) => byte ^ 0x5c)).update(inner.digest()).digest();
}

/** Bytes in hex. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
