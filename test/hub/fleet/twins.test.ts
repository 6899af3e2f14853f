import { Twins } from '@godwit/hub/fleet/twins'
import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { fleet, TestDevice } from '../mqtt/test-device.ts'
import { type Box, newHub } from '../support/new-hub.ts'

describe('two agents with one identity', () => {
  test('are told apart from one that restarts often', () => {
    const twins = new Twins()
    const news = ['a', 'b', 'c', 'c', 'd'].map((boot) => twins.heard('cam', boot, 0))
    expect(news).toEqual([false, false, false, false, false])
    expect(twins.current(0)).toEqual([])
  })

  test('take turns, which one that restarts never does', () => {
    const twins = new Twins()
    const news = ['a', 'b', 'a', 'b', 'a'].map((boot, i) => twins.heard('cam', boot, i))
    expect(news).toEqual([false, false, true, false, false])
    expect(twins.current(10)).toEqual(['cam'])
  })

  test('are told of once an hour, and no longer a day after they were seen last', () => {
    const twins = new Twins()
    const hourMs = 3_600_000
    const news = Array.from({ length: 9 }, (_, i) => twins.heard('cam', i % 2 ? 'b' : 'a', i * hourMs * 0.5))
    expect(news.filter(Boolean)).toHaveLength(4)
    expect(twins.current(27 * hourMs)).toEqual(['cam'])
    expect(twins.current(28 * hourMs)).toEqual([])
  })
})

describe('at the hub', () => {
  let box: Box
  beforeEach(async () => {
    box = await newHub()
    await box.hub.start()
  })
  afterEach(() => box.close())

  test('a cloned card is an alarm: on the overview, in the audit, in the feed', async () => {
    const cam = await TestDevice.enrolled(box, 'cam', 11)
    // The broker lets one of them in at a time, and each throws the other out.
    for (const [connection, bootId] of [
      [1, 'board-a'],
      [2, 'board-b'],
      [2, 'board-a'],
    ] as const) {
      await cam.connect()
      const state = JSON.stringify({ status: 'online', bootId, connection, at: 1 })
      await cam.publish(topics.state(fleet, 'cam'), state, { qos: 1, retain: true })
      await cam.end()
    }
    await waitFor(() => expect(box.hub.services.fleet.twins()).toEqual(['cam']))
    const overview = await box.hub.http.inject({
      url: '/api/v1/overview',
      headers: { authorization: `Bearer ${box.adminToken}` },
    })
    expect(overview.json().attention).toMatchObject([{ severity: 'alarm', link: '/devices/cam' }])
    const actions = (await box.hub.services.audit.before(undefined, 50)).map(({ action }) => action)
    expect(actions.filter((action) => action === 'device.twice')).toHaveLength(1)
  })
})
