import { checkFile } from '@godwit/protocol/trust/checks'
import { maxStalenessMsOf } from '@godwit/protocol/trust/held'
import { describe, expect, test } from 'vitest'
import { dateOf, dayMs, hourMs, now, TufDevice, TufRepository } from '../../support/tuf-repository.ts'

const refused = (because: string) => ({ trusted: false, because })
const weekMs = 7 * dayMs

/** Online documents for a day, offline ones for a year, as a hub has them. */
function daily(): TufRepository {
  const repository = new TufRepository()
  repository.timestamp.expires = dateOf(now + dayMs)
  repository.snapshot.expires = dateOf(now + weekMs)
  for (const signed of [repository.root, repository.targets.get('targets')!])
    signed.expires = dateOf(now + 365 * dayMs)
  repository.addTarget('targets', 'strict', 'nothing is said')
  repository.addTarget('targets', 'patient', 'a week is allowed')
  repository.targets.get('targets')!.targets['patient']!.custom = { maxStalenessMs: weekMs }
  repository.publishAll()
  return repository
}

async function restarted(repository: TufRepository): Promise<TufDevice> {
  const device = new TufDevice(repository)
  await device.refresh()
  device.restart()
  repository.files.clear()
  return device
}

describe('without anybody to ask', () => {
  test('a device that restarted finds what it had verified', async () => {
    const device = await restarted(daily())
    expect(await device.refresh()).toMatchObject(refused('absent'))
    expect(device.client.resume(now + hourMs)).toMatchObject({ trusted: true })
    expect(await device.find('strict')).toMatchObject({ trusted: true })
    expect(await device.find('nowhere')).toMatchObject(refused('not-listed'))
    expect(device.asked).toEqual([])
  })

  test('a device that never completed a refresh finds nothing', () => {
    expect(new TufDevice(daily()).client.resume(now)).toMatchObject(refused('absent'))
  })

  test('what a team signed is found if it was looked at before, and else it is not there', async () => {
    const repository = daily()
    repository.delegate('targets', 'team', { paths: ['team/*'] })
    repository.targets.get('team')!.expires = dateOf(now + 365 * dayMs)
    repository.addTarget('team', 'team/a', 'theirs')
    repository.publish()
    const device = new TufDevice(repository)
    await device.refresh()
    await device.find('team/a')
    repository.files.clear()
    device.restart()
    device.client.resume(now)
    expect(await device.find('team/a')).toMatchObject({ trusted: true })
    device.disk.delete('team')
    device.restart()
    device.client.resume(now)
    expect(await device.find('team/a')).toMatchObject(refused('absent'))
  })

  test.each(['timestamp', 'snapshot', 'targets'])(
    'a %s changed on the disk vouches for nothing',
    async (role) => {
      const device = await restarted(daily())
      const bytes = Buffer.from(device.disk.get(role)!)
      device.disk.set(role, Buffer.from(bytes.toString().replace('"version":2', '"version":3')))
      device.restart()
      expect(device.client.resume(now)).toMatchObject({ trusted: false })
    },
  )

  test('a refresh that was cut off behind its timestamp leaves nothing to go on with', async () => {
    const repository = daily()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.publish()
    for (const name of [...repository.files.keys()])
      if (name.startsWith('3.snap')) repository.files.delete(name)
    expect(await device.refresh()).toMatchObject(refused('absent'))
    expect(device.client.resume(now)).toMatchObject(refused('version-mismatch'))
  })

  test('documents by keys that root has taken away since count for nothing', async () => {
    const repository = daily()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.setKeys('targets', ['targets-2'])
    repository.publishRoot()
    repository.files.delete('timestamp.json')
    expect(await device.refresh()).toMatchObject(refused('absent'))
    expect(device.client.resume(now)).toMatchObject(refused('bad-signature'))
  })
})

describe('once the timestamp has expired', () => {
  test('nothing is installed, unless its publisher allows it, and then up to the bound and not a moment longer', async () => {
    const device = await restarted(daily())
    const end = now + dayMs
    const at = async (time: number, path: string) => {
      device.client.resume(time)
      return (await device.find(path)).trusted
    }
    expect(await at(end - 1, 'strict')).toBe(true)
    expect(await at(end, 'strict')).toBe(false)
    expect(await device.find('strict')).toMatchObject(refused('expired'))
    expect(await at(end, 'patient')).toBe(true)
    expect(await at(end + weekMs - 1, 'patient')).toBe(true)
    expect(await at(end + weekMs, 'patient')).toBe(false)
  })

  test('a refresh of the right documents is never loosened by the grace', async () => {
    const repository = daily()
    const device = new TufDevice(repository)
    await device.refresh()
    expect(await device.refresh(now + 2 * dayMs)).toMatchObject(refused('expired'))
    expect(device.client.current).toBeUndefined()
  })

  test('what the publishers sign themselves must be fresh all the same', async () => {
    for (const role of ['root', 'targets']) {
      const repository = daily()
      const signed = role === 'root' ? repository.root : repository.targets.get('targets')!
      signed.expires = dateOf(now + 2 * dayMs)
      repository.publishAll()
      const device = await restarted(repository)
      expect(device.client.resume(now + 3 * dayMs), role).toMatchObject(refused('expired'))
    }
  })

  test.each([undefined, null, -1, 0, '86400000', 1.5, [], 2 ** 60])(
    'a grace of %j is none',
    (maxStalenessMs) => {
      expect(maxStalenessMsOf({ length: 1, hashes: {}, custom: { maxStalenessMs } })).toBe(0)
    },
  )
})

test('a list of no hashes vouches for nothing', () => {
  const bytes = new Uint8Array([1])
  expect(checkFile('x', bytes, { length: 1, hashes: {} })).toMatchObject(refused('hash-mismatch'))
  expect(checkFile('x', bytes, { length: 1, hashes: { blake3: '00' } })).toMatchObject(
    refused('hash-mismatch'),
  )
  expect(checkFile('x', bytes, { length: 1 })).toBeUndefined()
})
