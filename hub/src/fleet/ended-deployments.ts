import type { Report, SlotReport } from '@godwit/protocol/messages/report'

export type EndedDeployment = {
  slot: string
  end: 'committed' | 'rolled_back' | 'refused'
  report: SlotReport
}

/** The deployments that this report says have ended, and the one before it did not say so. */
export function endedSince(before: Report | undefined, after: Report): EndedDeployment[] {
  return Object.entries(after.slots).flatMap(([slot, report]) => {
    const { phase } = report
    if (phase !== 'committed' && phase !== 'rolled_back' && phase !== 'refused') return []
    const known = before && Object.hasOwn(before.slots, slot) ? before.slots[slot] : undefined
    return known && endOf(known) === endOf(report) ? [] : [{ slot, end: phase, report }]
  })
}

function endOf({ phase, code, answered, target }: SlotReport): string {
  return [phase, code, answered, target?.releaseDigest].join(' ')
}
