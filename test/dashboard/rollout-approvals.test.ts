import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch, open, whyNoBrowser } from './browser.ts'
import { type Answers, FakeHub } from './fake-hub.ts'
import { sampleAnswers } from './sample-answers.ts'

const why = whyNoBrowser()
const sha256 = 'a4db32165562'.padEnd(64, '0')
const path = '/api/v1/rollouts/r-3'

describe.skipIf(why !== undefined)(`approvals on a rollout's page${why ? ` (skipped: ${why})` : ''}`, () => {
  let browser: Browser
  const closing: (() => Promise<void>)[] = []
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser?.close())
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  function asked(allowedDeeds: string[], change: (answers: Answers) => void = () => {}) {
    const bob = { id: 'u-bob', name: 'bob' }
    const given = { user: bob, wave: null, sha256, at: new Date().toISOString(), reason: 'read the card' }
    const question = { wave: null, sha256, needed: 2, missing: 1, given: [given] }
    const answers = sampleAnswers(Date.now())
    answers[path] = {
      ...(answers[path] as object),
      ...{
        phase: 'awaiting_approval',
        sentence: 'Waits for approval: 1 of 2 given (bob).',
        approvals: [given],
      },
      allowedActions: ['abort'],
      approval: { ...question, couldApprove: [{ id: 'u-cleo', name: 'cleo' }], allowedDeeds },
    }
    change(answers)
    return answers
  }

  async function visit(answers: Answers, width = 1280) {
    const hub = await new FakeHub(answers).listen()
    const visit = await open(browser, `${hub.url}/rollouts/r-3`, { width })
    closing.push(visit.close, () => hub.close())
    await visit.page.getByRole('heading', { name: 'Approval' }).waitFor()
    return { hub, ...visit }
  }

  test('who has approved, of how many, what, and who could give the rest', async () => {
    const { page, complaints } = await visit(asked([]))
    const text = await page.getByRole('main').innerText()
    for (const part of [
      '1 of 2 approvals',
      'cleo could give what is missing',
      'bob',
      'read the card',
      sha256.slice(0, 12),
    ])
      expect(text).toContain(part)
    const link = page.getByRole('link', { name: 'as JSON' })
    expect(await link.getAttribute('href')).toBe(`${path}/approval`)
    expect(await page.getByRole('button', { name: 'Approve…' }).count()).toBe(0)
    expect(complaints).toEqual([])
  })

  test('an approval names the hash that was on the page when the button was pressed', async () => {
    const { page, hub } = await visit(asked(['approve', 'reject']))
    await page.getByRole('button', { name: 'Approve…' }).click()
    // Another plan arrives while the reason is being written.
    const later = hub.answers[path] as { approval: object }
    hub.answers[path] = { ...later, approval: { ...later.approval, sha256: 'f'.repeat(64) } }
    hub.tell('rollout.state', { topic: 'rollout:r-3', id: 'r-3' })
    await page.getByTitle('f'.repeat(64)).first().waitFor()
    await page.getByLabel(/Why/).fill('read it')
    await page.getByRole('button', { name: 'Approve', exact: true }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(hub.received.map(({ path, body }) => [path, JSON.parse(body)])).toEqual([
      [`${path}/approve`, { reason: 'read it', sha256 }],
    ])
  })

  test('only what this session may do is offered', async () => {
    const { page } = await visit(asked(['reject', 'withdraw']))
    const buttons = page.getByRole('region', { name: 'Approval actions' }).getByRole('button')
    expect(await buttons.allInnerTexts()).toEqual(['Reject…', 'Take approval back…'])
  })

  test('an approver on the shop floor reaches the buttons on a phone, and nothing sticks out', async () => {
    const answers = asked(['approve', 'reject'], (all) => {
      all['/api/v1/session'] = { who: 'cleo', roles: ['approver'], kind: 'browser' }
    })
    const { page } = await visit(answers, 360)
    await page.getByRole('button', { name: 'Approve…' }).click()
    await page.getByRole('dialog').waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    expect(await page.getByText('takes the operator role').count()).toBe(0)
  })

  test('the timeline shows older entries on request', async () => {
    const entry = (id: number) => ({
      id,
      at: new Date().toISOString(),
      kind: 'note',
      who: 'hub',
      message: `entry ${id}`,
    })
    const { page } = await visit(
      asked([], (answers) => {
        answers[`${path}/events`] = { items: [entry(2)], nextCursor: 'older' }
        answers[`${path}/events?limit=50&cursor=older`] = { items: [entry(1)] }
      }),
    )
    await page.getByText('entry 2').waitFor()
    expect(await page.getByText('entry 1').count()).toBe(0)
    await page.getByRole('button', { name: 'Show more' }).click()
    await page.getByText('entry 1').waitFor()
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0)
  })
})
