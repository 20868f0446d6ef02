/** The names of the reporters of `policy test`. */

export const reporterNames = ['text', 'json', 'junit', 'github'] as const

export type ReporterName = (typeof reporterNames)[number]
