/** The door: what programs beside the command line may import. */

export { check, type Policy } from './check.ts'
export { type Reason, type ReasonEntry, reasons } from './decision/reasons.ts'
export { type ParseResult, parsePolicy } from './policy/parse.ts'
export type { Problem } from './policy/problem.ts'
export { policyJsonSchema } from './policy/schema.ts'
export type { Request } from './request.ts'
