import { describe, expect, test } from 'vitest'
import { canBefall, isDistinct, type Place, pathClass, placesIn } from './places.ts'
import { sampleOf } from './sample.ts'
import { tableOf } from './table.ts'
import { parseTrace } from './trace.ts'

const tids = { main: 7, pool: 8 }

/** What strace 6.1 writes of two threads. */
const trace = `7     access("/godwit-phase/assigned", F_OK) = -1 ENOENT (No such file or directory)
7     openat(AT_FDCWD</>, "/state/agent.lock.tmp", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 21</state/agent.lock.tmp>
7     write(21</state/agent.lock.tmp>, "{\\"pid\\":"..., 80) = 80
7     rename("/state/agent.lock.tmp", "/state/agent.lock") = 0
7     mkdir("/state/blobs", 0777) = -1 EEXIST (File exists)
8     pwrite64(24</state/blobs/aa.part>, "\\0"..., 65536, 0 <unfinished ...>
7     pwrite64(22</state/agent.db-wal>, "\\0"..., 24, 0) = 24
8     <... pwrite64 resumed>) = 65536
7     pwrite64(22</state/agent.db-wal>, "\\0"..., 4096, 24) = 4096
7     pwrite64(22</state/agent.db-wal>, "\\0"..., 24, 4120) = 24
7     fsync(22</state/agent.db-wal>) = 0
7     access("/godwit-phase/staged", F_OK) = -1 ENOENT (No such file or directory)
7     link("/state/blobs/aa", "/state/releases/bb.tmp/bundle/model.json") = 0
7     write(19<socket:[1234]>, "x", 1) = 1
7     write(20</elsewhere/file>, "x", 1) = 1 (INJECTED)
`

const places = placesIn(parseTrace(trace), 'story', '/state', tids)
const at = (call: string, path: string) =>
  places.filter((place) => place.call === call && place.path === path)

describe('the listing of an install', () => {
  test('holds the calls below the state directory, in order and with their phase', () => {
    expect(places.map(({ call, path, phase }) => [call, path, phase])).toEqual([
      ['openat', 'agent.lock.tmp', 'assigned'],
      ['write', 'agent.lock.tmp', 'assigned'],
      ['rename', 'agent.lock.tmp', 'assigned'],
      ['mkdir', 'blobs', 'assigned'],
      ['pwrite64', 'blobs/aa.part', 'assigned'],
      ['pwrite64', 'agent.db-wal', 'assigned'],
      ['pwrite64', 'agent.db-wal', 'assigned'],
      ['pwrite64', 'agent.db-wal', 'assigned'],
      ['fsync', 'agent.db-wal', 'assigned'],
      ['link', 'releases/bb.tmp/bundle/model.json', 'staged'],
    ])
  })

  test('counts a call by its thread, its name and its path', () => {
    expect(at('pwrite64', 'agent.db-wal').map(({ nth, thread }) => [nth, thread])).toEqual([
      [1, 'main'],
      [2, 'main'],
      [3, 'main'],
    ])
    expect(at('pwrite64', 'blobs/aa.part')).toMatchObject([{ nth: 1, thread: 'pool' }])
  })

  test('knows what each thread had done before a call, for a disk that is full from there on', () => {
    expect(at('fsync', 'agent.db-wal')[0]!.before).toEqual({
      main: { openat: 1, write: 1, rename: 1, mkdir: 1, pwrite64: 3 },
      pool: { pwrite64: 1 },
    })
  })
})

describe('which harm a call can come to', () => {
  const faultsOf = (place: Place) =>
    (['KILL', 'EIO', 'ENOSPC'] as const).filter(
      (fault) => canBefall(fault, place) && isDistinct(fault, place),
    )

  test.each<[string, string, string[]]>([
    ['openat', 'agent.lock.tmp', ['KILL', 'EIO']],
    ['rename', 'agent.lock.tmp', ['KILL', 'EIO', 'ENOSPC']],
    ['fsync', 'agent.db-wal', ['KILL', 'EIO']],
    // It is there already: no block is needed, and killed before it is killed a call later.
    ['mkdir', 'blobs', ['EIO']],
  ])('%s of %s', (call, path, faults) => {
    expect(faultsOf(at(call, path)[0]!)).toEqual(faults)
  })

  test('a page in the middle of a commit is a place to be killed at, and fails like the first and the last', () => {
    expect(at('pwrite64', 'agent.db-wal').map(faultsOf)).toEqual([
      ['KILL', 'EIO', 'ENOSPC'],
      ['KILL'],
      ['KILL', 'EIO', 'ENOSPC'],
    ])
  })
})

test.each([
  ['.', 'state directory'],
  ['agent.db-wal', 'database log'],
  ['slots/default.json.tmp', 'pointer'],
  ['blobs/aa.part', 'part file'],
  ['blobs/aa', 'blob'],
  ['releases/bb.tmp/bundle', 'staged release'],
  ['somewhere', 'other'],
])('%s is filed under %s', (path, name) => {
  expect(pathClass(path)).toBe(name)
})

describe('a sample', () => {
  const cells = places.flatMap((place) =>
    (['KILL', 'EIO'] as const).map((fault) => ({ place, fault, engine: 'light' as const })),
  )

  test('is the same for the same seed and another for another', () => {
    expect(sampleOf(cells, 5, 1)).toEqual(sampleOf(cells, 5, 1))
    expect(sampleOf(cells, 5, 1)).not.toEqual(sampleOf(cells, 5, 2))
  })

  test('takes one of each kind before it takes two of any', () => {
    const kinds = new Set(cells.map(({ place, fault }) => `${fault} ${place.call} ${pathClass(place.path)}`))
    const taken = sampleOf(cells, kinds.size, 3)
    expect(
      new Set(taken.map(({ place, fault }) => `${fault} ${place.call} ${pathClass(place.path)}`)),
    ).toEqual(kinds)
  })
})

test('a red cell is counted, told, and how to live it again', () => {
  const [place] = places
  const cell = { place: { ...place!, story: 'commit' }, fault: 'KILL' as const, engine: 'light' as const }
  const outcome = {
    cell,
    course: 'restarted' as const,
    said: true,
    ending: '',
    wrong: ['two models'],
    log: [],
  }
  const { text, red } = tableOf({ places, cells: 1, outcomes: [outcome] })
  expect(red).toBe(1)
  expect(text).toContain('`--story commit --fault KILL --index 0`')
  expect(text).toContain('two models')
})
