import { checkFile } from '@godwit/protocol/trust/checks'
import { TrustClient } from '@godwit/protocol/trust/client'
import { fileNameOf, targetFileNameOf } from '@godwit/protocol/trust/file-name'
import { encodeEnvelope, signatureOver, withSignature } from '@godwit/protocol/trust/metadata'
import { describe, expect, test } from 'vitest'
import { dateOf, dayMs, now, signerOf, TufDevice, TufRepository } from '../../support/tuf-repository.ts'

const refused = (because: string) => ({ trusted: false, because })
const topLevel = (device: TufDevice) =>
  ['root', 'timestamp', 'snapshot', 'targets'].map((role) => device.versionOf(role))

describe('a refresh', () => {
  test('asks in the order of the workflow, by versioned names, and stores what it verified', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.asked).toEqual(['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json'])
    expect(device.changes).toEqual(['store timestamp 1', 'store snapshot 1', 'store targets 1'])
    expect(device.disk.get('snapshot')).toEqual(repository.files.get('1.snapshot.json'))
  })

  test('uses plain names where snapshots are not consistent, root excepted', async () => {
    const device = new TufDevice(new TufRepository({ consistent: false }))
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.asked).toEqual(['2.root.json', 'timestamp.json', 'snapshot.json', 'targets.json'])
  })

  test('with nothing new fetches the timestamp alone, after a restart too', async () => {
    const device = new TufDevice(new TufRepository())
    await device.refresh()
    device.restart()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.asked).toEqual(['2.root.json', 'timestamp.json'])
    expect(device.changes).toEqual([])
  })

  test('fetches only what changed, and takes the hashes and lengths that are listed', async () => {
    const repository = new TufRepository()
    repository.listsHashes = true
    repository.publish()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.needs.find((need) => need.role === 'snapshot')?.bytesMax).toBe(
      repository.files.get('2.snapshot.json')!.length,
    )
    repository.publishTimestamp()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.asked).toEqual(['2.root.json', 'timestamp.json'])
    expect(device.changes).toEqual(['store timestamp 3'])
  })

  test('stopped between any two steps is completed by the next one', async () => {
    const repository = new TufRepository()
    for (let stopAfter = 0; stopAfter < 8; stopAfter++) {
      const device = new TufDevice(repository)
      const steps = device.client.refresh(now)
      let step = steps.next()
      for (let i = 0; i < stopAfter && !step.done; i++) {
        if (step.value.do === 'store') device.store(step.value)
        step = steps.next(
          step.value.do === 'fetch' ? (repository.files.get(step.value.fileName) ?? null) : undefined,
        )
      }
      device.restart()
      expect(await device.refresh(), `stopped after ${stopAfter} steps`).toMatchObject({ trusted: true })
      expect(topLevel(device)).toEqual([1, 1, 1, 1])
    }
  })

  test('whose disk throws can be run again on the same client', async () => {
    const device = new TufDevice(new TufRepository())
    const store = device.store.bind(device)
    device.store = () => {
      throw new Error('disk full')
    }
    await expect(device.refresh()).rejects.toThrow('disk full')
    device.store = store
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(topLevel(device)).toEqual([1, 1, 1, 1])
  })

  test('treats damaged files on its own disk as absent', async () => {
    for (const role of ['timestamp', 'snapshot', 'targets'])
      for (const rubbish of ['', '{"signed":', '{}', '\u0000'.repeat(300)]) {
        const device = new TufDevice(new TufRepository())
        await device.refresh()
        device.disk.set(role, Buffer.from(rubbish))
        device.restart()
        expect(await device.refresh(), `${role} is ${JSON.stringify(rubbish)}`).toMatchObject({
          trusted: true,
        })
        expect(topLevel(device)).toEqual([1, 1, 1, 1])
      }
  })

  test.each(['timestamp.json', '1.snapshot.json', '1.targets.json'])(
    'without %s says that it is absent',
    async (name) => {
      const repository = new TufRepository()
      const kept = repository.files.get(name)!
      repository.files.delete(name)
      const device = new TufDevice(repository)
      expect(await device.refresh()).toMatchObject(refused('absent'))
      repository.files.set(name, kept)
      expect(await device.refresh()).toMatchObject({ trusted: true })
    },
  )
})

describe('the first root', () => {
  const open = (bytes: Uint8Array) => TrustClient.open(new Map([['root', bytes]]))

  test('must be there, whole, and signed by itself', () => {
    const repository = new TufRepository()
    expect(TrustClient.open(new Map())).toMatchObject(refused('absent'))
    expect(open(Buffer.from('{}'))).toMatchObject(refused('malformed'))
    const unsigned = { ...repository.sign('root', repository.root), signatures: [] }
    expect(open(encodeEnvelope(unsigned))).toMatchObject(refused('bad-signature'))
  })

  test('may have expired, as long as a later one has not', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    repository.root.expires = dateOf(now + 90 * dayMs)
    repository.publishRoot()
    for (const document of [repository.timestamp, repository.snapshot, repository.targets.get('targets')!])
      document.expires = dateOf(now + 90 * dayMs)
    repository.publish()
    expect(await device.refresh(now + 60 * dayMs)).toMatchObject({ trusted: true })
    expect(device.versionOf('root')).toBe(2)
  })
})

describe('root rotation', () => {
  test('follows three rotations at once over a fleet that was offline', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.setKeys('root', ['root-2', 'root-3'], 2, ['root-1'])
    repository.publishRoot()
    repository.setKeys('root', ['root-3', 'root-4'], 2, ['root-2'])
    repository.publishRoot()
    repository.setKeys('root', ['root-5'], 1, ['root-3', 'root-4'])
    repository.publishRoot()
    repository.publish()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.changes.slice(0, 3)).toEqual(['store root 2', 'store root 3', 'store root 4'])
    device.restart()
    expect(await device.refresh()).toMatchObject({ trusted: true })
  })

  test.each([
    ['only by the new keys', ['root-2'], []],
    ['only by the old keys', [], ['root-1']],
    ['by strangers', [], ['mallory']],
  ])('refuses a root that is signed %s', async (_, inRole, also) => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    repository.setKeys('root', ['root-2'])
    repository.signers.set('root', [...inRole, ...also].map(signerOf))
    repository.publishRoot()
    expect(await device.refresh()).toMatchObject(refused('bad-signature'))
    expect(device.versionOf('root')).toBe(1)

    repository.root.version = 1
    repository.setKeys('root', ['root-2'], 1, ['root-1'])
    repository.publishRoot()
    expect(await device.refresh()).toMatchObject({ trusted: true })
  })

  test('arbitrary keys below the threshold cannot take root over', async () => {
    const repository = new TufRepository()
    repository.setKeys('root', ['root-1', 'root-2', 'root-3'], 2)
    repository.root.version = 0
    const device = new TufDevice(repository, { root: repository.publishRoot() })
    // One stolen key, signing as often as it likes, next to keys of the thief's own.
    repository.setKeys('root', ['mallory-1', 'mallory-2'], 1, ['root-1'])
    repository.publishRoot()
    expect(await device.refresh()).toMatchObject({
      because: 'bad-signature',
      detail: expect.stringContaining('under the old keys: expected 2 valid signatures, found 1'),
    })
  })

  test.each([
    [1, 'rollback'],
    [3, 'version-mismatch'],
  ])('refuses version %i under the name of version 2', async (version, because) => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    const forged = encodeEnvelope(repository.sign('root', { ...repository.root, version }))
    repository.files.set('2.root.json', forged)
    expect(await device.refresh()).toMatchObject(refused(because))
  })

  test('stops at its cap and goes on from there next time', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository, { limits: { rootRotationsMax: 2 } })
    for (let i = 0; i < 3; i++) repository.publishRoot()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.versionOf('root')).toBe(3)
    await device.refresh()
    expect(device.versionOf('root')).toBe(4)
  })

  test('an expired last root is kept but ends the refresh', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.root.expires = dateOf(now)
    repository.publishRoot()
    repository.publish()
    expect(await device.refresh()).toMatchObject(refused('expired'))
    expect(topLevel(device)).toEqual([2, 1, 1, 1])
  })
})

describe('rollback', () => {
  test('an older timestamp is refused and the newer one kept', async () => {
    const repository = new TufRepository()
    const old = repository.files.get('timestamp.json')!
    repository.publish()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.files.set('timestamp.json', old)
    expect(await device.refresh()).toMatchObject(refused('rollback'))
    expect(device.versionOf('timestamp')).toBe(2)
    repository.publishTimestamp()
    expect(await device.refresh()).toMatchObject({ trusted: true })
  })

  test('an equal timestamp with other content is silently dropped', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.timestamp.meta['snapshot.json'].version = 100
    repository.timestamp.version = 0
    repository.publishTimestamp()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.asked).toEqual(['2.root.json', 'timestamp.json'])
    expect(device.changes).toEqual([])
  })

  test.each([false, true])(
    'a newer timestamp cannot bring an older snapshot (hashes listed: %s)',
    async (listsHashes) => {
      const repository = new TufRepository()
      repository.listsHashes = listsHashes
      repository.publish()
      const device = new TufDevice(repository)
      await device.refresh()
      repository.snapshot.version = 0
      repository.publishSnapshot()
      repository.publishTimestamp()
      expect(await device.refresh()).toMatchObject(refused('rollback'))
      expect(topLevel(device)).toEqual([1, 2, 2, 2])
    },
  )

  test.each([false, true])(
    'a newer snapshot cannot bring older targets (hashes listed: %s)',
    async (listsHashes) => {
      const repository = new TufRepository()
      repository.listsHashes = listsHashes
      repository.publish()
      const device = new TufDevice(repository)
      await device.refresh()
      repository.targets.get('targets')!.version = 0
      repository.publish()
      expect(await device.refresh()).toMatchObject(refused('rollback'))
      expect([device.versionOf('snapshot'), device.versionOf('targets')]).toEqual([2, 2])
    },
  )

  test('a role that was listed may not disappear from the snapshot', async () => {
    const repository = new TufRepository()
    repository.delegate('targets', 'team')
    repository.publish()
    const device = new TufDevice(repository)
    await device.refresh()
    delete repository.snapshot.meta['team.json']
    repository.publishSnapshot()
    repository.publishTimestamp()
    expect(await device.refresh()).toMatchObject({
      because: 'rollback',
      detail: 'snapshot: team.json is no longer listed',
    })
  })
})

describe('freeze', () => {
  test.each([
    ['timestamp', [1, 1, 1, 1]],
    ['snapshot', [1, 2, 1, 1]],
    ['targets', [1, 2, 2, 1]],
  ])('an expired new %s is refused', async (role, versions) => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    await device.refresh()
    const document = { timestamp: repository.timestamp, snapshot: repository.snapshot }[role]
    ;(document ?? repository.targets.get('targets')!).expires = dateOf(now)
    repository.publish()
    expect(await device.refresh()).toMatchObject(refused('expired'))
    expect(topLevel(device)).toEqual(versions)
  })

  test('a mirror that always serves the same is noticed when it expires, and forgiven when it moves', async () => {
    const repository = new TufRepository()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.root.expires = dateOf(now + 90 * dayMs)
    repository.publishRoot()
    expect(await device.refresh(now + 31 * dayMs)).toMatchObject({
      because: 'expired',
      detail: expect.stringContaining('timestamp: expired at 2026-12-22T12:00:00Z'),
    })
    for (const document of [repository.timestamp, repository.snapshot, repository.targets.get('targets')!])
      document.expires = dateOf(now + 90 * dayMs)
    repository.publish()
    expect(await device.refresh(now + 31 * dayMs)).toMatchObject({ trusted: true })
  })

  test('expiry at the very moment counts as expired', async () => {
    const device = new TufDevice(new TufRepository())
    expect(await device.refresh(now + 30 * dayMs - 1)).toMatchObject({ trusted: true })
    expect(await device.refresh(now + 30 * dayMs)).toMatchObject(refused('expired'))
  })
})

describe('fast-forward recovery', () => {
  test('a rotated timestamp key lets the timestamp start again', async () => {
    const repository = new TufRepository()
    repository.timestamp.version = 99
    repository.publishTimestamp()
    const device = new TufDevice(repository)
    await device.refresh()
    expect(device.versionOf('timestamp')).toBe(100)
    repository.setKeys('timestamp', ['timestamp-2'])
    repository.publishRoot()
    repository.timestamp.version = 0
    repository.publishTimestamp()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.versionOf('timestamp')).toBe(1)
    expect(device.changes.slice(0, 3)).toEqual(['delete timestamp', 'delete snapshot', 'store root 2'])
  })

  test('rotated timestamp and snapshot keys let the snapshot start again', async () => {
    const repository = new TufRepository()
    repository.snapshot.version = 99
    repository.publish()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.setKeys('timestamp', ['timestamp-2'])
    repository.setKeys('snapshot', ['snapshot-2'])
    repository.publishRoot()
    repository.snapshot.version = 0
    repository.publish()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.versionOf('snapshot')).toBe(1)
  })

  test('a rotated snapshot key lets targets start again, and roles disappear', async () => {
    const repository = new TufRepository()
    repository.delegate('targets', 'mallory-team')
    repository.targets.get('targets')!.version = 99
    repository.publish()
    const device = new TufDevice(repository)
    await device.refresh()
    expect(device.versionOf('targets')).toBe(100)
    repository.setKeys('snapshot', ['snapshot-2'])
    repository.publishRoot()
    repository.targets.delete('mallory-team')
    delete repository.snapshot.meta['mallory-team.json']
    repository.targets.get('targets')!.version = 0
    delete repository.targets.get('targets')!.delegations
    repository.publish()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.versionOf('targets')).toBe(1)
  })

  test('works although the two keys that stay would still meet the threshold', async () => {
    const repository = new TufRepository()
    repository.setKeys('timestamp', ['timestamp-1', 'timestamp-2', 'timestamp-3'], 2)
    repository.publishRoot()
    repository.timestamp.version = 99
    repository.publishTimestamp()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.setKeys('timestamp', ['timestamp-1', 'timestamp-2', 'timestamp-4'], 2)
    repository.publishRoot()
    repository.timestamp.version = 0
    repository.publishTimestamp()
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.versionOf('timestamp')).toBe(1)
  })

  test('is not triggered by a key that was only added', async () => {
    const repository = new TufRepository()
    const old = repository.files.get('timestamp.json')!
    repository.publishTimestamp()
    const device = new TufDevice(repository)
    await device.refresh()
    repository.setKeys('timestamp', ['timestamp-1', 'timestamp-2'])
    repository.publishRoot()
    repository.files.set('timestamp.json', old)
    expect(await device.refresh()).toMatchObject(refused('rollback'))
  })
})

describe('what a mirror may try', () => {
  test.each(['timestamp', 'snapshot', 'targets'])('%s by another key is refused', async (role) => {
    const repository = new TufRepository()
    repository.signers.set(role, [signerOf('mallory')])
    repository.publish()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject(refused('bad-signature'))
    expect(device.versionOf(role)).toBeUndefined()
  })

  test('mix and match: targets of one moment with the snapshot of another', async () => {
    const repository = new TufRepository()
    const old = repository.files.get('1.targets.json')!
    repository.publish()
    repository.files.set('2.targets.json', old)
    expect(await new TufDevice(repository).refresh()).toMatchObject(refused('version-mismatch'))
    repository.listsHashes = true
    repository.publish()
    repository.files.set(
      '3.targets.json',
      Buffer.concat([repository.files.get('3.targets.json')!.subarray(1), Buffer.from(' ')]),
    )
    expect(await new TufDevice(repository).refresh()).toMatchObject(refused('hash-mismatch'))
  })

  test('mix and match: a snapshot that the timestamp does not name', async () => {
    const repository = new TufRepository()
    const old = repository.files.get('1.snapshot.json')!
    repository.publish()
    repository.files.set('2.snapshot.json', old)
    expect(await new TufDevice(repository).refresh()).toMatchObject(refused('version-mismatch'))
  })

  test('endless data: takes no more than the cap, or than the length that is listed', async () => {
    const repository = new TufRepository()
    const kept = repository.files.get('timestamp.json')!
    repository.files.set('timestamp.json', Buffer.concat([kept, Buffer.alloc(16_385 - kept.length, ' ')]))
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject(refused('length-exceeded'))
    repository.files.set('timestamp.json', kept)
    expect(await device.refresh()).toMatchObject({ trusted: true })

    repository.listsHashes = true
    repository.publish()
    repository.files.set(
      '2.snapshot.json',
      Buffer.concat([repository.files.get('2.snapshot.json')!, Buffer.from(' ')]),
    )
    expect(await device.refresh()).toMatchObject(refused('length-exceeded'))
    repository.files.set('2.root.json', Buffer.alloc(512_001, ' '))
    expect(await device.refresh()).toMatchObject(refused('length-exceeded'))
  })

  test('a snapshot in the place of the timestamp, signed by the right key', async () => {
    const repository = new TufRepository()
    repository.signers.set('snapshot', [signerOf('snapshot-1'), signerOf('timestamp-1')])
    const posing = {
      ...repository.snapshot,
      meta: { 'snapshot.json': { version: 1 }, 'targets.json': { version: 1 } },
    }
    repository.files.set('timestamp.json', encodeEnvelope(repository.sign('snapshot', posing)))
    expect(await new TufDevice(repository).refresh()).toMatchObject(refused('wrong-type'))
  })

  test('two signatures by one key, and extra white space: the first is refused, the second kept byte for byte', async () => {
    const repository = new TufRepository()
    const signed = repository.sign('timestamp', repository.timestamp)
    const doubled = { ...signed, signatures: [...signed.signatures, ...signed.signatures] }
    repository.files.set('timestamp.json', encodeEnvelope(doubled))
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject(refused('malformed'))
    const spaced = Buffer.from(`${JSON.stringify(signed, null, 2)} `)
    repository.files.set('timestamp.json', spaced)
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(device.disk.get('timestamp')).toEqual(spaced)
  })

  test('a signature of the wrong kind beside the right one harms nothing', async () => {
    const repository = new TufRepository()
    repository.setKeys('timestamp', ['timestamp-1', 'timestamp-2'])
    repository.publishRoot()
    const [first, second] = ['timestamp-1', 'timestamp-2'].map(signerOf)
    let envelope = repository.sign('timestamp', repository.timestamp)
    envelope = withSignature(envelope, { keyid: first!.keyid, sig: '' })
    envelope = withSignature(envelope, signatureOver(repository.timestamp, second!.seed, second!.key))
    repository.files.set('timestamp.json', encodeEnvelope(envelope))
    expect(await new TufDevice(repository).refresh()).toMatchObject({ trusted: true })
  })
})

describe('finding a target', () => {
  async function deviceOf(repository: TufRepository): Promise<TufDevice> {
    repository.publish()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject({ trusted: true })
    return device
  }

  test('finds it in the top-level role without asking anybody', async () => {
    const repository = new TufRepository()
    repository.addTarget('targets', 'gauge-reader/3/release.json', 'release')
    const device = await deviceOf(repository)
    const found = await device.find('gauge-reader/3/release.json')
    expect(found).toMatchObject({ trusted: true, value: { role: 'targets', file: { length: 7 } } })
    expect(device.asked).toEqual([])
    expect(
      checkFile('release', Buffer.from('release'), found.trusted ? found.value.file : {}),
    ).toBeUndefined()
    expect(checkFile('release', Buffer.from('Release'), found.trusted ? found.value.file : {})).toMatchObject(
      refused('hash-mismatch'),
    )
    expect(await device.find('constructor')).toMatchObject(refused('not-listed'))
  })

  test('a team finds what it signed under its prefix, and nothing outside of it', async () => {
    const repository = new TufRepository()
    repository.delegate('targets', 'vision-team', { paths: ['gauge-reader/*/*'] })
    repository.addTarget('vision-team', 'gauge-reader/3/release.json', 'theirs')
    repository.addTarget('vision-team', 'valve-watch/3/release.json', 'not theirs')
    const device = await deviceOf(repository)
    expect(await device.find('gauge-reader/3/release.json')).toMatchObject({ value: { role: 'vision-team' } })
    expect(device.asked).toEqual(['1.vision-team.json'])
    expect(await device.find('valve-watch/3/release.json')).toMatchObject(refused('not-listed'))
    device.restart()
    await device.refresh()
    await device.find('gauge-reader/3/release.json')
    expect(device.asked).toEqual([])
  })

  /** Who is asked for a path that nobody has, in order. */
  const graphs: [string, [string, string, object?][], string[]][] = [
    [
      'depth first, in order of appearance',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C'],
        ['A', 'D'],
      ],
      ['A', 'C', 'D', 'B'],
    ],
    [
      'three levels',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C'],
        ['C', 'D'],
      ],
      ['A', 'C', 'D', 'B'],
    ],
    [
      'a terminating role ends it',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C', { terminating: true }],
        ['A', 'D'],
      ],
      ['A', 'C'],
    ],
    [
      'a terminating role still asks its own',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['A', 'C', { terminating: true }],
        ['A', 'D'],
        ['C', 'E'],
      ],
      ['A', 'C', 'E'],
    ],
    [
      'a terminating role for other paths ends nothing',
      [
        ['targets', 'A', { terminating: true, paths: ['*.py'] }],
        ['targets', 'B'],
      ],
      ['B'],
    ],
    [
      'cycles end',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
        ['C', 'D'],
        ['D', 'B'],
      ],
      ['A', 'B', 'C', 'D'],
    ],
    [
      'a role reached twice is asked once',
      [
        ['targets', 'A'],
        ['targets', 'B'],
        ['B', 'C'],
        ['A', 'C'],
      ],
      ['A', 'C', 'B'],
    ],
    [
      'a branch that does not match is not followed',
      [
        ['targets', 'A', { paths: ['*.py'] }],
        ['targets', 'B'],
        ['A', 'C'],
      ],
      ['B'],
    ],
  ]
  test.each(graphs)('%s', async (_, edges, order) => {
    const repository = new TufRepository()
    for (const [from, to, grant] of edges) repository.delegate(from, to, { paths: ['*'], ...grant })
    const device = await deviceOf(repository)
    expect(await device.find('missing')).toMatchObject(refused('not-listed'))
    expect(device.asked).toEqual(order.map((role) => `1.${role}.json`))
  })

  test('the first delegation outranks the second', async () => {
    const repository = new TufRepository()
    for (const role of ['first', 'second']) {
      repository.delegate('targets', role)
      repository.addTarget(role, 'model', role)
    }
    const device = await deviceOf(repository)
    expect(await device.find('model')).toMatchObject({ value: { role: 'first' } })
  })

  test('visits no more roles than its limit', async () => {
    const repository = new TufRepository()
    for (let i = 0; i < 10; i++) repository.delegate('targets', `role-${i}`)
    repository.publish()
    const device = new TufDevice(repository, { limits: { rolesVisitedMax: 4 } })
    await device.refresh()
    expect(await device.find('missing')).toMatchObject(refused('not-listed'))
    expect(device.asked).toHaveLength(3)
  })

  test('a role trusted by one team is not thereby trusted by another', async () => {
    const repository = new TufRepository()
    repository.delegate('targets', 'team-a', { paths: ['a/*'] })
    repository.delegate('targets', 'team-b', { paths: ['b/*'] })
    repository.delegate('team-b', 'shared', { paths: ['b/*'] }, 'key-of-b')
    repository.delegate('team-a', 'shared', { paths: ['a/*'] }, 'key-of-a')
    repository.addTarget('shared', 'a/model', 'good')
    repository.addTarget('shared', 'b/model', 'smuggled')
    const device = await deviceOf(repository)
    expect(await device.find('a/model')).toMatchObject({ value: { role: 'shared' } })
    expect(await device.find('b/model')).toMatchObject(refused('bad-signature'))
    expect(await device.find('a/model')).toMatchObject({ trusted: true })
  })

  test('a delegated role that the snapshot does not list is neither fetched nor believed', async () => {
    const repository = new TufRepository()
    repository.delegate('targets', 'team')
    repository.addTarget('team', 'model', 'x')
    repository.publishTargets('team')
    delete repository.snapshot.meta['team.json']
    repository.publishTargets('targets')
    repository.publishSnapshot()
    repository.publishTimestamp()
    const device = new TufDevice(repository)
    expect(await device.refresh()).toMatchObject({ trusted: true })
    expect(await device.find('model')).toMatchObject(refused('not-listed'))
    expect(device.asked).toEqual([])
  })

  test.each([
    ['?', '%3F'],
    ['#', '%23'],
    ['/etc/passwd', '%2Fetc%2Fpasswd'],
    ['../root', '..%2Froot'],
    ["it's (*)!", '%27'],
    ['__proto__', '__proto__'],
  ])('a role called %s becomes a harmless file name', async (role, part) => {
    const repository = new TufRepository()
    repository.delegate('targets', role)
    const device = await deviceOf(repository)
    expect(await device.find('missing')).toMatchObject(refused('not-listed'))
    expect(device.asked[0]).toContain(part)
    expect(device.asked[0]).toMatch(/^1\.[A-Za-z0-9_.~%-]+\.json$/)
  })

  test.each(['root', 'timestamp', 'snapshot', 'targets'])(
    'a delegated role may not be called %s',
    async (role) => {
      const repository = new TufRepository()
      repository.targets.get('targets')!.delegations = {
        keys: {},
        roles: [{ name: role, keyids: [], threshold: 1, terminating: false, paths: ['*'] }],
      }
      repository.publish()
      expect(await new TufDevice(repository).refresh()).toMatchObject(refused('malformed'))
    },
  )

  test('before a refresh is a fault of the caller', () => {
    const device = new TufDevice(new TufRepository())
    expect(() => device.client.findTarget('x').next()).toThrow(
      expect.objectContaining({ code: 'not-refreshed' }),
    )
  })
})

test('file names', () => {
  expect(fileNameOf('root', 3)).toBe('3.root.json')
  expect(fileNameOf('timestamp')).toBe('timestamp.json')
  expect(targetFileNameOf('a/b/model.onnx', 'abc')).toBe('a/b/abc.model.onnx')
  expect(targetFileNameOf('model.onnx', 'abc')).toBe('abc.model.onnx')
  expect(targetFileNameOf('a/model.onnx')).toBe('a/model.onnx')
})
