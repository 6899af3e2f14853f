import type { Inbox } from '../sources/inbox.ts'
import { plainMapping, readingOfText, readingOfValue } from '../sources/reading-of.ts'
import type { Reading } from '../sources/source.ts'
import { badRequest } from './api-error.ts'

/**
 * Readings out of a body: one object, an array of them, or one a line. Each that cannot be read goes the way of the
 * others and is counted as an error there; a body of nothing else is refused besides.
 */
export function takeReadings(body: string, inbox: Inbox, fields: readonly string[], nowMs: number) {
  const readings = readingsIn(body, fields, nowMs)
  for (const reading of readings) inbox.put(reading)
  const flawed = readings.filter(({ flaw }) => flaw !== undefined)
  if (flawed.length === readings.length) throw badRequest(flawed[0]?.flaw ?? 'the body has no reading')
  return { accepted: readings.length - flawed.length, flawed: flawed.length, waiting: inbox.length }
}

function readingsIn(body: string, fields: readonly string[], nowMs: number): Reading[] {
  const mapping = plainMapping(fields)
  const text = body.trim()
  if (text.startsWith('[')) {
    const values = arrayIn(text)
    if (values) return values.map((value) => readingOfValue(value, mapping, nowMs))
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.map((line) => readingOfText(line, mapping, nowMs))
}

function arrayIn(text: string): unknown[] | undefined {
  try {
    return JSON.parse(text) as unknown[]
  } catch {
    return undefined
  }
}
