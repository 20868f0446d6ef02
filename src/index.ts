/** The door: what programs beside the command line may import. */

export { type Reason, type ReasonEntry, reasons } from './decision/reasons.ts'
export { type ParseResult, parsePolicy } from './policy/parse.ts'
export type { Problem } from './policy/problem.ts'
export { policyJsonSchema } from './policy/schema.ts'
