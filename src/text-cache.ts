/** Facts by the text that they were read from: the one cache of tokens, certificates and whatever else comes as a long text; and the work on a text that is not known yet. */

import { LRUCache } from 'lru-cache'

/** For metrics. */
export interface CacheState {
  readonly size: number
  /** Since the start. */
  readonly lookups: { readonly hits: number; readonly misses: number }
}

export interface TextCache<Fact extends object> extends CacheState {
  get(text: string): Fact | undefined
  set(text: string, fact: Fact): void
  delete(text: string): void
}

/**
 * The part of a signed text that stands for it: hashing all of a certificate and a token costs as much as the rest of a
 * warm check's own work. Tokens and certificates end in a signature, so this part differs; where it does not, the texts
 * push each other out, and the whole text is compared before a fact is given.
 */
export const signature = (text: string): string => text.slice(-96, -32)
export const wholeText = (text: string): string => text

/**
 * The least recently used goes first.
 *
 * @param maxBytes What all entries may take.
 * @param bytesOf What one takes, estimated.
 * @param keyOf What stands for a text: `signature` where it ends in one, else `wholeText`.
 */
export function createTextCache<Fact extends object>(
  maxBytes: number,
  bytesOf: (text: string, fact: Fact) => number,
  keyOf: (text: string) => string,
): TextCache<Fact> {
  const entries = new LRUCache<string, { readonly text: string; readonly fact: Fact }>({
    maxSize: maxBytes,
    sizeCalculation: ({ text, fact }) => bytesOf(text, fact),
  })
  const lookups = { hits: 0, misses: 0 }
  return {
    get size() {
      return entries.size
    },
    lookups,
    get(text) {
      const entry = entries.get(keyOf(text))
      const fact = entry?.text === text ? entry.fact : undefined
      if (fact === undefined) lookups.misses++
      else lookups.hits++
      return fact
    },
    set(text, fact) {
      entries.set(keyOf(text), { text, fact })
    },
    delete(text) {
      entries.delete(keyOf(text))
    },
  }
}

/** Work on texts: those who ask for the same one meanwhile share it (architecture §6). */
export interface SharedWork<Result> {
  /** How many texts are worked on. */
  readonly size: number
  /** The work on that text, if there is any. */
  find(text: string): Promise<Result> | undefined
  /** `begin` is called where there is none. */
  take(text: string, begin: () => Promise<Result>): Promise<Result>
}

export function createSharedWork<Result>(): SharedWork<Result> {
  const underWay = new Map<string, Promise<Result>>()
  return {
    get size() {
      return underWay.size
    },
    find: (text) => underWay.get(text),
    take(text, begin) {
      const pending = underWay.get(text)
      if (pending !== undefined) return pending
      const work = begin().finally(() => underWay.delete(text))
      underWay.set(text, work)
      return work
    },
  }
}
