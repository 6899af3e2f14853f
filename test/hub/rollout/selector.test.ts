import { parseSelector, selects } from '@godwit/hub/rollout/selector'
import { describe, expect, test } from 'vitest'

const device = { id: 'cam-17', labels: { group: 'line-3', site: 'a', 'hw.class': 'pi5' } }

function picks(text: string): boolean {
  const parsed = parseSelector(text)
  if (!parsed.ok) throw new Error(parsed.detail)
  return selects(parsed.requirements, device)
}

describe('a selector', () => {
  test.each([
    ['', true],
    ['group=line-3', true],
    ['group==line-3', true],
    ['group = line-3 , site=a', true],
    ['group=line-4', false],
    ['group!=line-4', true],
    ['group!=line-3', false],
    ['missing!=x', true],
    ['site in (a, b)', true],
    ['labels.site in (b,c)', false],
    ['site notin (b,c)', true],
    ['missing in (a)', false],
    ['site', true],
    ['missing', false],
    ['!missing', true],
    ['!site', false],
    ['hw.class=pi5', true],
    ['id in (cam-17,cam-18)', true],
    ['id!=cam-17', false],
    ['group=line-3,site in (a,b),!pilot', true],
    ['toString', false],
  ])('"%s" picks the device: %s', (text, expected) => {
    expect(picks(text)).toBe(expected)
  })

  test.each([
    '=x',
    'group=',
    'group=a b',
    'site in ()',
    'site in (a',
    'a,,b',
    'group=a,',
    'a && b',
    '!',
    'x'.repeat(3000),
  ])('refuses "%s" and shows the part it cannot read', (text) => {
    expect(parseSelector(text)).toMatchObject({ ok: false, detail: expect.stringContaining('selector:') })
  })
})
