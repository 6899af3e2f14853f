import type { Mote } from '../motes.ts'

export type Found = {
  events: number
  found: number
  episodesFound: boolean
  falseAlarms: number
  falseRuns: number
}

/**
 * Judges the anomalies of one whole pass by the recording's labels.
 *
 * @param positions as agents report them: `pass:index`, the index counting the recording's readings from 0
 */
export function judgePass(mote: Mote, pass: number, positions: readonly string[]): Found {
  const alarmed = new Set<number>()
  for (const position of positions) {
    const [inPass, index] = position.split(':').map(Number)
    if (inPass === pass && index !== undefined) alarmed.add(index)
  }
  const labelled = mote.readings.map((reading) => reading.label === 1)
  const found = labelled.filter((isEvent, i) => isEvent && alarmed.has(i)).length
  const falseOnes = [...alarmed].filter((i) => labelled[i] === false).sort((a, b) => a - b)
  return {
    events: labelled.filter(Boolean).length,
    found,
    episodesFound: found > 0,
    falseAlarms: falseOnes.length,
    falseRuns: falseOnes.filter((index, i) => index !== (falseOnes[i - 1] ?? -2) + 1).length,
  }
}
