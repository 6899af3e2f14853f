import type { Mote, MoteId } from './motes.ts'

/** What a threshold found on one recording, judged by its labels. Scores exist from reading `window - 1` on. */
export type Detection = {
  mote: MoteId
  eventReadings: number
  eventReadingsFound: number
  eventEpisodes: number
  eventEpisodesFound: number
  falseAlarmReadings: number
  /** Unbroken runs of false alarms; one ill-timed draught is one of them, however many readings it lasts. */
  falseAlarmRuns: number
}

/** @param scores one per reading from index `window - 1` on, in time order */
export function evaluate(mote: Mote, scores: readonly number[], threshold: number): Detection {
  const offset = mote.readings.length - scores.length
  const seen: Detection = {
    mote: mote.id,
    eventReadings: 0,
    eventReadingsFound: 0,
    eventEpisodes: 0,
    eventEpisodesFound: 0,
    falseAlarmReadings: 0,
    falseAlarmRuns: 0,
  }
  let inEpisode = false
  let isEpisodeFound = false
  let inFalseAlarm = false
  mote.readings.forEach(({ label }, i) => {
    const isAlarm = i >= offset && scores[i - offset]! > threshold
    const isFalse = isAlarm && label === 0
    if (label === 1) {
      if (!inEpisode) {
        seen.eventEpisodes++
        isEpisodeFound = false
      }
      seen.eventReadings++
      if (isAlarm) {
        seen.eventReadingsFound++
        if (!isEpisodeFound) seen.eventEpisodesFound++
        isEpisodeFound = true
      }
    }
    if (isFalse) {
      seen.falseAlarmReadings++
      if (!inFalseAlarm) seen.falseAlarmRuns++
    }
    inEpisode = label === 1
    inFalseAlarm = isFalse
  })
  return seen
}
