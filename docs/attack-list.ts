/** THE LIST of the attacks and faults that test titles and scenarios name: each number, and what it stands for. */

import { requestAttacks } from './attacks-in-requests.ts'
import { serviceAttacks } from './attacks-on-the-service.ts'

export interface AttackGroup {
  readonly letter: string
  readonly name: string
  readonly about: string
  /** The numbers go on from group to group, so that a number alone says which case is meant. */
  readonly cases: { readonly [number: number]: string }
}

export const attackGroups: readonly AttackGroup[] = [...requestAttacks, ...serviceAttacks]

/** What breaks around meshbind, or in it, while requests go on. The scenarios of faults/ name these. */
export const faults: { readonly [number: string]: string } = {
  F1: 'The process, or one of its workers, is killed without a warning and started again.',
  F2: 'Replicas are told to stop, one after the other, with clients that will not hang up.',
  F3: 'The process stands still for seconds, and goes on as if nothing had been.',
  F4: 'The key server is down, slow, or answers with something that is no key set.',
  F5: 'The keys rotate every few seconds, and the old one is gone each time.',
  F6: 'The introspection endpoint hangs, fails now and then, or answers nonsense.',
  F7: 'The clock jumps ahead or back, or runs too fast.',
  F8: 'The policy file is cut off, misspelt, deleted, or swapped many times a second.',
  F9: 'The Unix socket file is removed, or was left behind by a process that is dead.',
  F10: 'Memory is nearly used up, and then the kernel kills the process.',
  F11: 'There is hardly any CPU, or the event loop is held up.',
  F12: 'A peer beside Envoy opens connections and streams by the thousand and abuses HTTP/2.',
  F13: 'Three times as many checks arrive as can be answered.',
  F14: 'Certificates end and are renewed while their connections live on.',
  F15: 'A token is revoked while its facts are remembered, or the feed of revocations is away.',
  F16: 'The shared store of spent proofs is killed, silent, or emptied.',
  F17: 'The log cannot be written: nobody reads it, or the disk is full.',
  F18: 'Names of key servers resolve to nothing, or to an address that must never be asked.',
  F19: 'Envoy itself is ended and started again under load.',
  F20: 'Nothing breaks, for a long time, while the policy is loaded again and again.',
}
