/** The parts of a policy that live on from policy to policy for as long as each asks for the same. */

export interface FollowedFile {
  readonly kind: 'trust_bundle' | 'denylist'
  /** Trust domain of a bundle. */
  readonly name?: string
  /** What is on disk is in force. */
  readonly current: boolean
}

/** Something that works in the background: reads, fetches, remembers. */
export interface Part<Value> {
  readonly value: Value
  /** It has been tried, well or not. */
  readonly tried: Promise<unknown>
  /** Why the policy cannot be in force with it; asked once it has been tried. */
  readonly missing?: () => string | undefined
  /** The files that it follows. */
  readonly files?: () => readonly FollowedFile[]
  close(): void
}

export interface Parts {
  /** The part that was asked for in these words, from the policy before if it had it, else started. */
  take<Value>(asked: readonly unknown[], start: () => Part<Value>): Value
  /** All has been asked for: the policy before may be forgotten. */
  seal(): void
  /** Every part that was started here has been tried once. */
  tried(): Promise<void>
  missing(): Promise<readonly string[]>
  files(): readonly FollowedFile[]
  /** Ends what the next policy does not go on with. */
  close(next?: Parts): void
  find(key: string): Part<unknown> | undefined
}

export function collectParts(previous: Parts | undefined): Parts {
  const parts = new Map<string, Part<unknown>>()
  const started = new Set<Part<unknown>>()
  let before = previous

  function begin<Value>(start: () => Part<Value>): Part<Value> {
    const part = start()
    started.add(part)
    return part
  }

  return {
    take<Value>(asked: readonly unknown[], start: () => Part<Value>): Value {
      const key = JSON.stringify(asked)
      const found = (parts.get(key) ?? before?.find(key) ?? begin(start)) as Part<Value>
      parts.set(key, found)
      return found.value
    },
    seal() {
      before = undefined
    },
    tried: async () => {
      await Promise.all([...started].map(({ tried }) => tried))
    },
    async missing() {
      const needed = [...parts.values()].filter(({ missing }) => missing !== undefined)
      await Promise.all(needed.map(({ tried }) => tried))
      return needed.flatMap(({ missing }) => missing?.() ?? [])
    },
    files: () => [...parts.values()].flatMap(({ files }) => files?.() ?? []),
    close(next) {
      for (const [key, part] of parts) if (next?.find(key) !== part) part.close()
    },
    find: (key) => parts.get(key),
  }
}
