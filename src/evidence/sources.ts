/** THE LIST of evidence: what can show who the peer is. */

export const evidenceSources = ['certificate', 'xfcc', 'principal', 'waypoint'] as const

export type EvidenceSource = (typeof evidenceSources)[number]
