/** Chance with a seed: the same seed gives the same inputs, on every machine. */

export interface Random {
  /** 0 to `below` - 1. */
  int(below: number): number
  chance(oneIn: number): boolean
  pick<Item>(items: readonly Item[]): Item
  /** From none to `most` of them. */
  many<Item>(most: number, make: () => Item): Item[]
}

/** mulberry32 (public domain, T. Ettinger): 32 bits of state are enough to choose inputs with. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const int = (below: number) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
  return {
    int,
    chance: (oneIn) => int(oneIn) === 0,
    pick<Item>(items: readonly Item[]): Item {
      if (items.length === 0) throw new RangeError('nothing to pick from')
      return items[int(items.length)] as Item
    },
    many: (most, make) => Array.from({ length: int(most + 1) }, make),
  }
}
