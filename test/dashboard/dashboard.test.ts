import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { waitFor } from '../support/wait-for.ts'
import { type Look, launch, open, tabTo, whyNoBrowser } from './browser.ts'
import { type Answers, FakeHub } from './fake-hub.ts'
import { sampleAnswers } from './sample-answers.ts'

const reason = whyNoBrowser()
if (reason) console.warn(`dashboard tests skipped: ${reason}`)

type Overview = {
  devices: Record<string, number | undefined>
  attention: { severity: string; text: string; link: string }[]
  energy: unknown
  telemetry: Record<string, number> | undefined
}

describe.skipIf(reason !== undefined)('the dashboard', () => {
  let browser: Browser
  const endings: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser?.close())
  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end()
  })

  async function visit(path: string, change: (answers: Answers) => void = () => {}, look: Look = {}) {
    const answers = sampleAnswers(Date.now())
    change(answers)
    const hub = await new FakeHub(answers).listen()
    endings.push(() => hub.close())
    const opened = await open(browser, hub.url + path, look)
    endings.push(opened.close)
    return { hub, answers, ...opened }
  }
  const overviewOf = (answers: Answers) => answers['/api/v1/overview'] as Overview
  const edit = (answers: Answers, change: (overview: Overview) => void) => {
    const overview = structuredClone(overviewOf(answers))
    change(overview)
    answers['/api/v1/overview'] = overview
  }

  const pages: [path: string, verdict: string, ...others: string[]][] = [
    ['/', 'Rollout mote-anomaly 3 paused: success share 0 % < 95 %', '1 failed', '1,248', 'WORLD 475 g/kWh'],
    ['/devices', '4 devices: 1 with trouble', 'mote-3', 'placement=outdoor'],
    [
      '/devices/mote-2',
      'mote-anomaly@3 was refused: selftest accuracy',
      '9.4 of 25',
      'expected 2.4187',
      'hub 3, device 3',
      'window 40 to 44',
      'older than its spool keeps records',
      '2 windows and 0 events of slot default were never numbered',
    ],
    ['/rollouts', '1 rollout will not go on without a person', 'mote-anomaly@3'],
    ['/rollouts/r-3', 'No further device is directed', 'Success share', 'selftest_accuracy', 'wave opened'],
    ['/models', 'Says when a mote reads something out of the ordinary', 'champion → 2'],
    ['/models/mote-anomaly', 'signed and listed', '2 of 4 alarm', '2c902c902c90'],
    [
      '/models/mote-anomaly/versions/2',
      'Running on 4 devices',
      'labels were not used',
      '[n, 4, 2]',
      'sha256sum',
    ],
    ['/drift', 'No drift found on 4 devices. For 1 there is not enough data yet', 'mote-3 on mote-anomaly@1'],
    ['/energy', 'assumed: constant 4 W per busy core', 'measured', '98.8 %'],
  ]

  test.each(pages)(
    '%s says what the hub answered, in either colour scheme, without a complaint',
    async (path, ...texts) => {
      const { page, complaints } = await visit(path)
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        for (const text of texts) await page.getByText(text, { exact: false }).first().waitFor()
        await page.getByText('live', { exact: true }).waitFor()
      }
      await page.locator('.chart:empty').first().waitFor({ state: 'detached' })
      expect(complaints).toEqual([])
    },
  )

  test('no page is wider than a phone of 360 pixels', async () => {
    const { page, hub } = await visit('/', undefined, { width: 360 })
    for (const [path, text] of pages) {
      await page.goto(hub.url + path)
      await page.getByText(text, { exact: false }).first().waitFor()
      expect([path, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([path, 360])
    }
  })

  test('an event of the stream changes the page without a reload', async () => {
    const { page, hub, answers } = await visit('/')
    await page.getByText('2 things need you').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    await page.evaluate('globalThis.sameDocument = true')
    edit(answers, (overview) => {
      overview.attention = []
      overview.devices['failed'] = 0
    })
    hub.tell('device.state', { id: 'mote-2', status: 'online' })
    await page.getByText('All quiet: 4 of 4 devices reported in time').waitFor()
    expect(await page.evaluate('globalThis.sameDocument')).toBe(true)
  })

  test('news about a device reaches its page, and its new window the charts', async () => {
    const { page, hub, answers } = await visit('/devices/mote-1')
    await page.getByText('Runs mote-anomaly@2').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    const path = '/api/v1/devices/mote-1/windows'
    const { items } = answers[path] as { items: Record<string, unknown>[] }
    const end = new Date(Date.now() + 5_000).toISOString()
    answers[path] = {
      items: [{ ...items[0], seq: 999, start: new Date().toISOString(), end, inferences: 4_242 }, ...items],
    }
    hub.tell('device.window', { deviceId: 'mote-1', windows: 1 })
    await page.locator('figcaption').getByText('4,242').waitFor()
  })

  test('what a cut stream missed is asked for when it is back, and a light tells that it is gone', async () => {
    const { page, hub, answers } = await visit('/')
    await page.getByText('live', { exact: true }).waitFor()
    edit(answers, (overview) => {
      overview.attention = []
    })
    hub.cutStreams()
    await page.getByText('All quiet: 4 of 4 devices').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    await hub.close()
    await page.getByText('reconnecting', { exact: true }).waitFor()
  })

  test('names and cards that are markup stay text, and a link that is a script is no link', async () => {
    const name = '<img src=x onerror="globalThis.hacked=1">'
    const { page, hub, complaints } = await visit('/', (answers) => {
      edit(answers, (overview) => {
        overview.attention = [
          { severity: 'alarm', text: `look at ${name}`, link: 'javascript:globalThis.hacked=1' },
        ]
      })
      answers['/api/v1/models'] = { items: [{ name, description: name, versions: [] }] }
      answers['/api/v1/telemetry/events'] = {
        items: [{ deviceId: name, kind: 'anomaly', at: Date.now(), detail: { label: name } }],
      }
    })
    await page.getByText(`look at ${name}`).waitFor()
    expect(await page.locator('.attention a').count()).toBe(0)
    await page.getByText(`label ${name}`).waitFor()
    await page.goto(`${hub.url}/models`)
    await page.getByRole('link', { name }).waitFor()
    await page.goto(`${hub.url}/models/mote-anomaly/versions/2`)
    await page.getByText("<script>alert('card')</script>").waitFor()
    expect(await page.evaluate('globalThis.hacked')).toBeUndefined()
    expect(await page.locator('main img').count()).toBe(0)
    expect(complaints).toEqual([])
  })

  test('the keyboard alone resumes a rollout, and the hub hears why', async () => {
    const { page, hub } = await visit('/rollouts/r-3')
    await page.getByRole('button', { name: 'Resume…' }).waitFor()
    await tabTo(page, 'Resume…')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.type('the reference was wrong')
    await tabTo(page, 'Resume')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(hub.received).toEqual([
      {
        method: 'POST',
        path: '/api/v1/rollouts/r-3/resume',
        body: '{"reason":"the reference was wrong"}',
        csrf: '1',
      },
    ])
  })

  test('rolling back more than a tenth of the fleet takes the reason and the name typed', async () => {
    const { page, hub } = await visit('/rollouts/r-3')
    await page.getByRole('button', { name: 'Roll back…' }).click()
    const confirm = page.getByRole('dialog').getByRole('button', { name: 'Roll back' })
    expect(await confirm.isDisabled()).toBe(true)
    await page.getByLabel('Why?').fill('it is an impostor')
    expect(await confirm.isDisabled()).toBe(true)
    await page.getByLabel('Type mote-anomaly@3').fill('mote-anomaly@3')
    await confirm.click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(hub.received.map(({ path }) => path)).toEqual(['/api/v1/rollouts/r-3/rollback'])
  })

  test('what the rollout does not allow is not offered, and a viewer is offered nothing', async () => {
    const { page } = await visit('/rollouts/r-3')
    await page.getByRole('button', { name: 'Abort…' }).waitFor()
    expect(await page.getByRole('button', { name: 'Pause…' }).count()).toBe(0)
    const viewer = await visit('/rollouts/r-3', (answers) => {
      answers['/api/v1/session'] = { who: 'guest', roles: ['viewer'] }
    })
    await viewer.page.getByText('takes the operator role').waitFor()
    expect(await viewer.page.getByRole('button', { name: 'Abort…' }).count()).toBe(0)
  })

  test('without a session it asks who is there, and names the way of those without a password', async () => {
    const { page, hub } = await visit('/devices', (answers) => {
      answers['/api/v1/session'] = undefined
      answers['/api/v1/session/ways'] = { password: true }
    })
    await page.getByText('I have no password here').click()
    await page.getByText('godwit dashboard').waitFor()
    expect(await page.getByRole('link', { name: 'single sign-on' }).count()).toBe(0)
    await page.getByLabel('Name').fill('ana')
    await page.getByLabel('Password').fill('correct horse battery')
    await page.getByRole('button', { name: 'Log in' }).click()
    await waitFor(() => expect(hub.received).toHaveLength(1))
    expect(hub.received[0]).toMatchObject({ method: 'POST', path: '/api/v1/session', csrf: '1' })
    expect(JSON.parse(hub.received[0]!.body)).toEqual({ name: 'ana', password: 'correct horse battery' })
  })

  test('single sign-on is offered where the hub has it, and says in words why it sent somebody back', async () => {
    const { page } = await visit('/?refused=no_role', (answers) => {
      answers['/api/v1/session'] = undefined
      answers['/api/v1/session/ways'] = { password: true, oidc: { label: 'Log in with Plant ID' } }
    })
    const link = page.getByRole('link', { name: 'Log in with Plant ID' })
    expect(await link.getAttribute('href')).toBe('/login/oidc')
    await page.getByText('you have no role here yet').waitFor()
  })

  test('an administrator lets somebody in, and a viewer does not see how', async () => {
    const people = { items: [{ id: 'u-2', name: 'ben', roles: ['operator'] }] }
    const { page, hub } = await visit('/settings', (answers) => {
      answers['/api/v1/users'] = people
      answers['/api/v1/tokens'] = { items: [] }
    })
    await page.getByText('Let somebody in').click()
    await page.getByLabel('Name', { exact: true }).fill('cleo')
    await page.getByLabel('approver').last().check()
    await page.getByRole('button', { name: 'Make an account' }).click()
    await waitFor(() => expect(hub.received).toHaveLength(1))
    expect(JSON.parse(hub.received[0]!.body)).toEqual({ name: 'cleo', roles: ['viewer', 'approver'] })
    const viewer = await visit('/settings', (answers) => {
      answers['/api/v1/session'] = { who: 'guest', roles: ['viewer'] }
      answers['/api/v1/tokens'] = { items: [] }
    })
    await viewer.page.getByRole('heading', { name: 'Your API tokens' }).waitFor()
    expect(await viewer.page.getByText('Let somebody in').count()).toBe(0)
  })

  test('a device that waits shows its fingerprint, and comes in under the name that it is given', async () => {
    const fingerprint = '1f0a 55c3 0d7e 9b21 aa01 4c77 e0f2 3b68'
    const { page, hub } = await visit('/devices', (answers) => {
      const times = { firstAt: '2026-11-22T10:00:00Z', lastAt: '2026-11-22T10:05:00Z' }
      answers['/api/v1/pending-devices'] = {
        items: [{ fingerprint, wantedId: 'boss', address: '10.0.0.7', ...times }],
      }
    })
    await page.getByRole('button', { name: 'Let in…' }).click()
    await page.getByLabel('Name').fill('cam-7')
    await page.getByLabel('Labels').fill('line=3, site=hall')
    await page.getByRole('button', { name: 'The fingerprints are the same' }).click()
    await waitFor(() => expect(hub.received).toHaveLength(1))
    expect(hub.received[0]!.path).toBe(`/api/v1/pending-devices/${fingerprint.replaceAll(' ', '')}/approve`)
    const labels = { line: '3', site: 'hall' }
    expect(JSON.parse(hub.received[0]!.body)).toEqual({ deviceId: 'cam-7', labels })
  })

  test('an administrator whom a link let in makes an account, and is shown why', async () => {
    const { page, hub } = await visit('/settings', (answers) => {
      answers['/api/v1/users'] = { items: [] }
      answers['/api/v1/tokens'] = { items: [] }
    })
    await page.getByText('the hub does not know who you are').waitFor()
    const make = page.getByRole('button', { name: 'Make it and go on' })
    await page.getByLabel('Your name').fill('ana')
    await page.getByLabel('Password', { exact: true }).fill('correct horse battery')
    await page.getByLabel('The same again').fill('correct horse')
    expect(await make.isDisabled()).toBe(true)
    await page.getByLabel('The same again').fill('correct horse battery')
    await make.click()
    await waitFor(() => expect(hub.received).toHaveLength(1))
    expect(hub.received[0]).toMatchObject({ path: '/api/v1/session/account', csrf: '1' })
    expect(JSON.parse(hub.received[0]!.body)).toEqual({ name: 'ana', password: 'correct horse battery' })
  })

  test('a figure that nobody knows is a dash and never a zero', async () => {
    const { page } = await visit('/', (answers) =>
      edit(answers, (overview) => {
        overview.energy = null
        overview.telemetry = undefined
      }),
    )
    const tile = page.locator('.tile', { hasText: 'Energy & carbon' })
    await tile.getByText('no figure yet').waitFor()
    expect(await tile.locator('.figure').textContent()).toBe('–')
    expect(
      await page.locator('.section', { hasText: 'Windows stored' }).getByText('0', { exact: true }).count(),
    ).toBe(0)
  })

  test('an empty hub shows the way to the first rollout, and ticks a step when it is done', async () => {
    const { page, hub, answers } = await visit('/', (all) => {
      edit(all, (overview) => {
        overview.devices = { total: 0, online: 0 }
        overview.attention = []
      })
      for (const list of ['models', 'rollouts', 'devices', 'drift', 'telemetry/events'])
        all[`/api/v1/${list}`] = { items: [] }
    })
    await page.getByText('godwit device add NAME').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    edit(answers, (overview) => {
      overview.devices = { total: 1, online: 1 }
    })
    hub.tell('device.state', { id: 'mote-1', status: 'online' })
    await page.getByText('Connect a device: done').waitFor()
  })

  test('when the hub refuses, the page says what it said and keeps what it had', async () => {
    const { page, hub, answers } = await visit('/drift')
    await page.getByText('No drift found on 4 devices').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    answers['/api/v1/drift'] = undefined
    hub.tell('drift.verdict', { deviceId: 'mote-1' })
    await page.getByText('What follows is the last answer that came').waitFor()
    expect(await page.getByText('No drift found on 4 devices').count()).toBe(1)
  })
})
