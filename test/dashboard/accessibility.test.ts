import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, open, whyNoBrowser } from './browser.ts'
import { FakeHub } from './fake-hub.ts'
import { sampleAnswers } from './sample-answers.ts'

const reason = whyNoBrowser()
if (reason) console.warn(`accessibility tests skipped: ${reason}`)

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

type Violation = { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }

const pages = [
  ['/', 'things need you'],
  ['/devices', '4 devices'],
  ['/devices/mote-2', 'was refused'],
  ['/rollouts', 'mote-anomaly@3'],
  ['/rollouts/r-3', 'Success share'],
  ['/models', 'Says when a mote'],
  ['/models/mote-anomaly', 'signed and listed'],
  ['/models/mote-anomaly/versions/2', 'Running on 4 devices'],
  ['/drift', 'No drift found'],
  ['/energy', 'assumed'],
  ['/settings', 'API tokens'],
  ['/no-such-page', 'Nothing here'],
] as const

describe.skipIf(reason !== undefined)('axe finds nothing serious', () => {
  let browser: Browser
  let hub: FakeHub
  beforeAll(async () => {
    browser = await launch()
    const answers = { ...sampleAnswers(Date.now()), '/api/v1/users': { items: [] } }
    hub = await new FakeHub({ ...answers, '/api/v1/tokens': { items: [] } }).listen()
  })
  afterAll(async () => {
    await browser?.close()
    await hub?.close()
  })

  const looks = (['light', 'dark'] as const).flatMap((colorScheme) =>
    [1280, 390].map((width) => ({ colorScheme, width })),
  )
  test.each(looks)('on any page, $colorScheme at $width pixels', { timeout: 300_000 }, async (look) => {
    const { page, close } = await open(browser, hub.url, look)
    const found: string[] = []
    for (const [path, text] of pages) {
      await page.goto(hub.url + path)
      await page.getByText(text, { exact: false }).first().waitFor()
      await page.evaluate(axe)
      const { violations } = (await page.evaluate(
        "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })",
      )) as { violations: Violation[] }
      for (const { id, impact, nodes } of violations)
        if (impact === 'serious' || impact === 'critical')
          found.push(...nodes.map(({ html, failureSummary }) => `${path} ${id}: ${html} ${failureSummary}`))
    }
    await close()
    expect(found).toEqual([])
  })
})
