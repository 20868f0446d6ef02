/** What a store of spent proofs answers: a proof of possession is good for one request. */

/** `full`: the store refuses new proofs rather than forget live ones. `unavailable`: it did not answer in time. */
export type Spending = 'fresh' | 'spent' | 'full' | 'unavailable'

export interface ReplayStore {
  /** Unix seconds since when this store remembers; undefined while that is not known (shared state, not reached yet). */
  readonly remembersSince: number | undefined
  /**
   * Spends a proof once. Never rejects.
   *
   * @param key A short hash made by the caller.
   * @param expiresAt Unix seconds; the key is remembered until then, inclusive.
   */
  spend(key: string, expiresAt: number, now: number): Spending | Promise<Spending>
}
