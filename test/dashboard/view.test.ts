import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const source = (path: string) => new URL(`../../hub/dashboard/src/${path}`, import.meta.url)
// By a computed address: the page is a project of its own, checked with the browser's types and not with ours.
const load = async (path: string) =>
  (await import(source(path).href)) as Record<string, (...args: never[]) => unknown>

describe('figures', async () => {
  const { percent, joules, grams, number, duration, clock } = await load('view/format.ts')

  test.each([
    [percent, 0.99996, '99.99 %'],
    [percent, 1, '100 %'],
    [percent, 0.00001, '< 0.01 %'],
    [percent, undefined, '–'],
    [joules, 0.00156, '1.56 mJ'],
    [joules, 7_200_000, '2 kWh'],
    [joules, 0, '0 J'],
    [grams, 0.00389, '3.89 mg'],
    [grams, null, '–'],
    [number, Number.NaN, '–'],
    [number, 12_345.6, '12,346'],
    [duration, 3_700_000, '1 h 1 min'],
    [clock, 'no date', '–'],
  ])('%o of %s is %s', (show, value, expected) => {
    expect((show as (value: unknown) => string)(value)).toBe(expected)
  })
})

describe('drift evidence', async () => {
  const { shareOf, driftSentence, byTime } = (await load('view/drift.ts')) as Record<
    string,
    (...args: unknown[]) => unknown
  >

  test('is drawn on the scale of its logarithm, because it is an odds ratio', () => {
    expect(shareOf!(5, 25)).toBeCloseTo(0.5)
    expect(shareOf!(0.2, 25)).toBe(0)
    expect(shareOf!(1e9, 25)).toBe(1)
    expect(shareOf!(undefined, 25)).toBeUndefined()
  })

  const verdict = (version: string, state: string, updatedAt: number) => ({
    deviceId: 'd1',
    slot: 'default',
    model: 'm',
    version,
    state,
    updatedAt,
  })
  test('of a release that was left is told as the past, also by a hub that does not say which one runs', () => {
    const all = [verdict('1', 'alarm', 1), verdict('2', 'quiet', 2)]
    expect(byTime!(all)).toEqual({ now: [all[1]], before: [all[0]] })
    expect(driftSentence!(all)).toBe(
      'No drift found on 1 device. Before, under releases left since: d1 on m@1.',
    )
  })

  test('of a large fleet is told by the counts of all, not of the worst that are listed', () => {
    const words = { alarm: 9, quiet: 90, 'not-enough-data': 1 }
    expect(driftSentence!([{ ...verdict('1', 'alarm', 1), isRunning: true }], words)).toBe(
      '9 of 100 devices drift: d1 on m@1 and 8 more. For 1 there is not enough data yet.',
    )
  })

  test('too little of it is never called quiet', () => {
    expect(driftSentence!([verdict('1', 'not-enough-data', 1)])).toContain(
      'For 1 there is not enough data yet',
    )
  })
})

describe('a model card', async () => {
  const { blocksOf } = (await load('view/markdown.ts')) as unknown as { blocksOf: (text: string) => unknown }

  test('is cut into blocks of text; an unclosed fence runs to the end', () => {
    expect(blocksOf('# A\ntext\n- one\n  more\n\n|a|b|\n|-|-|\n|1|2|\n```\n<b>\n')).toEqual([
      { kind: 'heading', level: 1, text: 'A' },
      { kind: 'paragraph', text: 'text' },
      { kind: 'list', items: ['one more'] },
      { kind: 'table', head: ['a', 'b'], rows: [['1', '2']] },
      { kind: 'verbatim', text: '<b>\n' },
    ])
  })
})

describe('windows', async () => {
  const { seriesOf } = (await load('view/windows.ts')) as unknown as {
    seriesOf: (windows: unknown[]) => { at: number[]; inferences: unknown[] }
  }

  test('that are missing leave a gap in the line', () => {
    const window = (start: number) => ({ start, end: start + 5_000, inferences: 7 })
    expect(seriesOf([window(20_000), window(0), window(5_000)]).inferences).toEqual([7, 7, null, 7])
  })
})

describe('colours', () => {
  const css = readFileSync(fileURLToPath(source('styles/base.css')), 'utf8')
  const [light, dark] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, block]) =>
    Object.fromEntries(
      [...block!.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, hex]) => [name!, hex!]),
    ),
  )

  test.each([
    ['light', light!],
    ['dark', dark!],
  ])('of the %s scheme reach 4.5 to 1 for every text', (_, colour) => {
    const on = (text: string, grounds: string[]) => grounds.map((ground) => [text, ground] as const)
    const tones = ['ok', 'busy', 'warn', 'bad', 'waiting']
    const pairs = [
      ...['text', 'muted', 'accent', ...tones].flatMap((text) => on(text, ['ground', 'sheet'])),
      ...tones.flatMap((tone) => on(tone, [`${tone}-soft`])),
      ...on(
        'text',
        tones.map((tone) => `${tone}-soft`),
      ),
      ...on('warn', ['bad-soft']),
      ...on('on-accent', ['accent']),
      ...on('sheet', ['bad']),
      ...on('heat-text', ['heat-0', 'heat-1', 'heat-2', 'heat-3', 'heat-4']),
    ]
    const poor = pairs.filter(([text, ground]) => !(contrast(colour[text]!, colour[ground]!) >= 4.5))
    expect(poor).toEqual([])
  })
})

/** WCAG 2.2: ratio of relative luminances, 1 to 21. */
function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number]
  return (high + 0.05) / (low + 0.05)
}

function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
