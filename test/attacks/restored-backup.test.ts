import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { defaultProbation, type SlotGoal } from '@godwit/protocol/messages/directive'
import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { afterEach, describe, expect, test } from 'vitest'
import { type Box, joinRequest, newHub, seedOf, signedTargets } from '../hub/support/new-hub.ts'
import { dateOf, dayMs, now } from '../support/tuf-repository.ts'
import { refused, Victim } from './victim.ts'

/*
 * Whoever can put an old copy in the place of a state directory, by mistake or not: of a device, or of the hub.
 */

describe('of a device', () => {
  test('its old metadata comes with an old floor only where the database is old as well', async () => {
    const victim = new Victim()
    victim.repository.timestamp.godwit_issued = dateOf(now - 20 * dayMs)
    victim.repository.timestamp.expires = dateOf(now - 10 * dayMs)
    victim.repository.publish()
    victim.wallMs = now - 20 * dayMs
    const old = victim.recorded()
    await victim.hears(old)
    cpSync(victim.directory, `${victim.directory}.old`, { recursive: true })
    victim.repository.timestamp.godwit_issued = dateOf(now)
    victim.repository.timestamp.expires = dateOf(now + dayMs)
    victim.repository.publish()
    victim.wallMs = now
    await victim.hears()
    rmSync(join(victim.directory, 'trust'), { recursive: true })
    cpSync(join(`${victim.directory}.old`, 'trust'), join(victim.directory, 'trust'), { recursive: true })
    rmSync(`${victim.directory}.old`, { recursive: true })
    // No clock, and the metadata of then: the floor still says what time it is.
    victim.wallMs = 0
    victim.restart()
    expect(await victim.hears(old)).toMatchObject(refused('expired'))
    // Nor does it keep the device back: what is current is higher than what it remembers.
    expect(await victim.hears()).toMatchObject({ trusted: true })
  })

  test('all of it, on a device without a clock, is believed until the hub is heard again: nobody there can know', async () => {
    const victim = new Victim()
    const first = victim.recorded()
    await victim.hears(first)
    cpSync(victim.directory, `${victim.directory}.old`, { recursive: true })
    const floorMs = victim.floorMs
    victim.repository.timestamp.godwit_issued = dateOf(now)
    victim.repository.publish()
    await victim.hears()
    rmSync(victim.directory, { recursive: true })
    cpSync(`${victim.directory}.old`, victim.directory, { recursive: true })
    rmSync(`${victim.directory}.old`, { recursive: true })
    Object.assign(victim, { floorMs, wallMs: 0 })
    victim.restart()
    expect(await victim.hears(first)).toMatchObject({ trusted: true })
    expect(await victim.hears()).toMatchObject({ trusted: true })
    expect(await victim.hears(first)).toMatchObject(refused('rollback'))
  })
})

describe('of the hub', () => {
  let box: Box
  afterEach(() => box.close())

  const goal = (version: string): SlotGoal => ({
    ...{ model: 'm', version, releaseBytes: 10, probation: defaultProbation },
    releaseDigest: version.padStart(64, '0'),
  })
  const by = { who: 'test' }

  /** A device's word, signed by its own key. */
  const report = (directiveVersion: number) => {
    const seed = seedOf(8)
    const said = {
      ...{ _type: 'report', specVersion: 1, fleet: 'test-fleet', deviceId: 'pump', session: 's' },
      ...{ reportVersion: 7, directiveVersion, at: 0, slots: {}, quarantine: [] },
      ...{ free: { diskBytes: 0, memoryBytes: 0 }, clock: { floor: 0 } },
    }
    return encodeEnvelope(signDocument(said, seed, keyOfSeed(seed)))
  }

  const timestampOf = async () => {
    const bytes = await box.hub.services.repository.serve('timestamp.json')
    return JSON.parse(new TextDecoder().decode(bytes)).signed as { version: number }
  }

  test('a hub that forgot how far it had counted signs above it again with the minute, not after a month', async () => {
    box = await newHub()
    const { repository } = box.hub.services
    for (let day = 0; day < 30; day++) {
      box.time.now += dayMs
      await repository.refresh(box.time.now)
    }
    const seen = await timestampOf()
    await box.close()
    // The same calendar, and a database that never counted that far.
    box = await newHub()
    box.time.now += 30 * dayMs + 60_000
    await box.hub.services.repository.refresh(box.time.now)
    expect((await timestampOf()).version).toBeGreaterThan(seen.version)
  })

  test('targets that it has lost are missed by devices, which install nothing until the publishers have signed on', async () => {
    const victim = new Victim()
    const { repository } = victim
    repository.publish()
    const old = { ...repository.snapshot.meta['targets.json'] }
    victim.repository.publishTargets()
    repository.publish()
    await victim.hears()
    const present = repository.snapshot.meta['targets.json']
    repository.snapshot.meta['targets.json'] = old
    repository.publishSnapshot()
    repository.publishTimestamp()
    expect(await victim.hears()).toMatchObject(refused('rollback', /targets\.json/))
    repository.snapshot.meta['targets.json'] = present
    repository.publishSnapshot()
    repository.publishTimestamp()
    expect(await victim.hears()).toMatchObject({ trusted: true })
  })

  test('rolls no device back by itself, says which are ahead, and leads them on when somebody says where to', async () => {
    box = await newHub()
    const { directives, enrolment, fleet } = box.hub.services
    const { token } = await enrolment.createJoinToken({ labels: {}, uses: 1, expiresInMs: 60_000 }, 'test')
    await enrolment.enrol(joinRequest(parseJoinToken(token)!.secret, seedOf(8), 'pump'))
    await directives.setGoal(['pump'], 'default', goal('1'), by)
    // Since the backup the device was led to 9, and it says so.
    expect(await fleet.acceptReport('pump', report(9))).toMatchObject({ trusted: true })
    const headers = { authorization: `Bearer ${box.adminToken}` }
    const seen = await box.hub.http.inject({ url: '/api/v1/devices/pump', headers })
    expect(seen.json()).toMatchObject({ directiveVersion: 1, ahead: { directive: { device: 9, hub: 1 } } })
    box.time.now += box.config.directive.expiresMs
    expect(await directives.reissueExpiring(box.time.now)).toBe(0)
    expect(await directives.setGoal(['pump'], 'default', goal('2'), by)).toEqual(new Map([['pump', 10]]))
    box.time.now += box.config.directive.expiresMs
    expect(await directives.reissueExpiring(box.time.now)).toBe(1)
  })

  test('signs for a stick within its policy, and goes on above it', async () => {
    box = await newHub()
    const headers = { authorization: `Bearer ${box.adminToken}` }
    const ask = (payload: object) =>
      box.hub.http.inject({ method: 'POST', url: '/api/v1/medium', headers, payload })
    expect((await ask({ validForMs: 31 * dayMs })).statusCode).toBe(422)
    expect((await ask({ validForMs: dayMs, deviceIds: ['nobody'] })).statusCode).toBe(404)
    const before = await timestampOf()
    const answer = (await ask({ validForMs: 30 * dayMs })).json() as { timestamp: string; validUntil: string }
    expect(Date.parse(answer.validUntil)).toBe(box.time.now + 30 * dayMs)
    const { signed } = JSON.parse(answer.timestamp)
    expect(signed).toMatchObject({ godwit_medium: true, expires: answer.validUntil.replace('.000Z', 'Z') })
    expect(signed.version).toBeGreaterThan(before.version)
    const after = await timestampOf()
    expect(after.version).toBeGreaterThan(signed.version)
    expect(after).not.toHaveProperty('godwit_medium')
    // Never longer than what the publishers sign.
    await box.hub.services.repository.acceptTargets(
      signedTargets(2, {}, { expires: dateOf(box.time.now + 3 * dayMs) }),
      'test',
    )
    const short = (await ask({ validForMs: 30 * dayMs })).json() as { validUntil: string }
    expect(Date.parse(short.validUntil)).toBe(box.time.now + 3 * dayMs)
  })
})
