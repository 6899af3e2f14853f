import type { Maybe, Time } from '../api.ts'

/** Stands for a figure that nobody knows. Never 0. */
export const unknown = '–'

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

function known(value: Maybe<number>): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

export function count(value: Maybe<number>): string {
  return known(value) ? whole.format(value) : unknown
}

export function number(value: Maybe<number>): string {
  if (!known(value)) return unknown
  if (Math.abs(value) >= 1000 && Math.abs(value) < 1e12) return whole.format(value)
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e12)) return value.toExponential(1)
  return three.format(value)
}

/** Of a ratio 0..1. 99.97 % is not 100 %, so the last step to either end is never rounded. */
export function percent(ratio: Maybe<number>): string {
  if (!known(ratio)) return unknown
  const value = 100 * ratio
  if (value > 99 && value < 100) return `${(Math.floor(value * 100) / 100).toString()} %`
  if (value > 0 && value < 0.01) return '< 0.01 %'
  return `${three.format(value)} %`
}

type Scale = readonly (readonly [from: number, factor: number, unit: string])[]
function scaled(value: Maybe<number>, scale: Scale): string {
  if (!known(value)) return unknown
  const size = Math.abs(value)
  const [, factor, unit] = scale.find(([from]) => size >= from) ?? scale[scale.length - 1]!
  return `${number(value / factor)} ${unit}`
}

export const joules = (value: Maybe<number>): string =>
  value === 0
    ? '0 J'
    : scaled(value, [
        [3.6e5, 3.6e6, 'kWh'],
        [1e3, 1e3, 'kJ'],
        [1, 1, 'J'],
        [1e-3, 1e-3, 'mJ'],
        [0, 1e-6, 'µJ'],
      ])
export const grams = (value: Maybe<number>): string =>
  value === 0
    ? '0 g'
    : scaled(value, [
        [1e3, 1e3, 'kg'],
        [1, 1, 'g'],
        [1e-3, 1e-3, 'mg'],
        [0, 1e-6, 'µg'],
      ])
export const bytes = (value: Maybe<number>): string =>
  scaled(value, [
    [2 ** 30, 2 ** 30, 'GiB'],
    [2 ** 20, 2 ** 20, 'MiB'],
    [2 ** 10, 2 ** 10, 'KiB'],
    [0, 1, 'B'],
  ])
export const micros = (value: Maybe<number>): string =>
  scaled(value, [
    [1e6, 1e6, 's'],
    [1e3, 1e3, 'ms'],
    [0, 1, 'µs'],
  ])

/** First twelve digits: enough to tell two apart by eye; the whole is in the title and on the clipboard. */
export function shortDigest(digest: Maybe<string>): string {
  return digest ? digest.replace(/^sha256:/, '').slice(0, 12) : unknown
}

export function msOf(time: Maybe<Time>): number | undefined {
  if (time === null || time === undefined || time === '') return undefined
  const ms = typeof time === 'number' ? time : Date.parse(time)
  return Number.isFinite(ms) ? ms : undefined
}

export function utc(time: Maybe<Time>): string {
  const ms = msOf(time)
  return ms === undefined ? '' : new Date(ms).toISOString()
}

/** Local time of day, with the date when it is not today's. */
export function clock(time: Maybe<Time>, now: number = Date.now()): string {
  const ms = msOf(time)
  if (ms === undefined) return unknown
  const at = new Date(ms)
  const pad = (value: number) => String(value).padStart(2, '0')
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`
  const hour = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`
  return at.toDateString() === new Date(now).toDateString() ? hour : `${day} ${hour}`
}

export function duration(ms: Maybe<number>): string {
  if (!known(ms)) return unknown
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
  return `${Math.floor(seconds / 86_400)} days`
}

export function ago(time: Maybe<Time>, now: number): string {
  const ms = msOf(time)
  if (ms === undefined) return unknown
  // A device's clock may run ahead; "in 3 s" would be taken for a plan.
  return now - ms < 3_000 ? 'just now' : `${duration(now - ms)} ago`
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${whole.format(n)} ${n === 1 ? one : many}`
}

/** `selftest_accuracy` as a person would say it. */
export function spaced(word: Maybe<string>): string {
  return word ? word.replace(/[_-]+/g, ' ') : unknown
}
