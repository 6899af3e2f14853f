import { createHash } from 'node:crypto'
import { golden } from '@godwit/protocol/release/golden'
import { pipeline } from '@godwit/protocol/release/pipeline'
import { evaluate } from '@godwit/sample-sensor-fleet/evaluate'
import { loadMotes } from '@godwit/sample-sensor-fleet/motes'
import { thresholdFrom } from '@godwit/sample-sensor-fleet/threshold'
import { trainVersion } from '@godwit/sample-sensor-fleet/trainer'
import { describe, expect, test } from 'vitest'

const motes = loadMotes()
const indoor = motes.filter((m) => m.place === 'indoor')
const v1 = trainVersion(indoor, 1)
const v2 = trainVersion(motes, 2)

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('training', () => {
  test('twice from the same data gives the same bytes', () => {
    const again = trainVersion(loadMotes(), 2)
    expect(digestOf(again.onnx)).toBe(digestOf(v2.onnx))
    expect({ ...again, model: null, onnx: null }).toEqual({ ...v2, model: null, onnx: null })
  })

  test('on other motes gives another model', () => {
    expect(digestOf(trainVersion(indoor, 2).onnx)).not.toBe(digestOf(v2.onnx))
  })

  test('never looks at the labels', () => {
    const blind = motes.map((m) => ({ ...m, readings: m.readings.map((r) => ({ ...r, label: 0 as const })) }))
    const unlabelled = trainVersion(blind, 2)
    expect(digestOf(unlabelled.onnx)).toBe(digestOf(v2.onnx))
    expect(unlabelled.threshold).toBe(v2.threshold)
  })

  test('writes a pipeline and golden vectors that the protocol accepts', () => {
    for (const version of [v1, v2]) {
      expect(pipeline.check(version.pipeline)).toMatchObject({ ok: true })
      expect(golden.check(version.golden)).toMatchObject({ ok: true })
      expect(version.golden.cases.length).toBeGreaterThanOrEqual(16)
    }
  })

  test('puts some events among the golden vectors, so that "all is well" cannot be a right answer', () => {
    const answers = v2.golden.cases.map((c) => Number(c.outputs['score']!.data[0]))
    expect(answers.filter((score) => score > v2.threshold).length).toBeGreaterThan(2)
    expect(answers.filter((score) => score < v2.threshold).length).toBeGreaterThan(8)
  })

  test('gives one reference stream per training mote for every monitored number', () => {
    expect(v1.pipeline.monitor.map((m) => m.name)).toEqual(Object.keys(v1.profileFeatures))
    expect(v1.profileFeatures['score']!.map((s) => s.length)).toEqual([4414, 4414])
  })
})

describe('version 2 on its recordings', () => {
  const [one, two, three, four] = v2.metrics.detections

  test('finds both kettle episodes and most of their readings', () => {
    expect([one!.eventEpisodesFound, four!.eventEpisodesFound]).toEqual([1, 1])
    expect(one!.eventReadingsFound).toBeGreaterThan(117 / 2)
    expect(four!.eventReadingsFound).toBeGreaterThan(32 / 2)
  })

  test('calls fewer than one ordinary reading in two hundred an event', () => {
    for (const d of [one!, two!, three!, four!]) expect(d.falseAlarmReadings).toBeLessThan(4400 / 200)
  })

  test('says in its card what it found, missed and got wrong', () => {
    for (const d of v2.metrics.detections) {
      expect(v2.card).toContain(
        `| ${d.mote} | ${d.eventReadingsFound} of ${d.eventReadings} | ${d.eventEpisodesFound} of ${d.eventEpisodes} ` +
          `| ${d.falseAlarmReadings} in ${d.falseAlarmRuns} runs |`,
      )
    }
  })
})

test('a threshold follows an exponential tail to the false-alarm budget, and what lies beyond 98 % has no say', () => {
  const scores = Array.from({ length: 10_000 }, (_, i) => -Math.log(1 - (i + 0.5) / 10_000))
  expect(thresholdFrom(scores)).toBeCloseTo(Math.log(17_280), 1)
  const spoilt = scores.map((s) => (s > 4 ? 1e6 : s))
  expect(thresholdFrom(spoilt)).toBe(thresholdFrom(scores))
})

test('false alarms are counted by reading and by unbroken run, events by reading and by episode', () => {
  const labels = [0, 0, 0, 1, 1, 0, 0, 1, 0] as const
  const readings = labels.map((label, i) => ({ index: i + 1, humidity: 40, temperature: 20, label }))
  // Scores begin at the second reading: the first has no whole window behind it.
  const seen = evaluate({ id: 1, place: 'indoor', readings }, [9, 9, 0, 9, 9, 0, 0, 9], 5)
  expect(seen).toEqual({
    mote: 1,
    eventReadings: 3,
    eventReadingsFound: 1,
    eventEpisodes: 2,
    eventEpisodesFound: 1,
    falseAlarmReadings: 4,
    falseAlarmRuns: 3,
  })
})
