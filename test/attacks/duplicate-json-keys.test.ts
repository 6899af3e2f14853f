import { expect, test } from 'vitest'
import { refused, Victim } from './victim.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

/** Two readers of one document: the signature is over what the first sees, the deed done by what the second sees. */
test.each(['first', 'last'])(
  'a directive that names two devices is refused, the signed one %s',
  async (place) => {
    const victim = new Victim()
    const honest = text(victim.directive(1, { deviceId: 'valve-7' }))
    const [signed, forged] = ['"deviceId":"valve-7"', '"deviceId":"cam"']
    const both = place === 'first' ? `${signed},${forged}` : `${forged},${signed}`
    const doubled = Buffer.from(honest.replace(signed, both))
    expect(doubled.toString()).toContain(both)
    expect(await victim.takes(doubled)).toMatchObject(refused('malformed', /deviceId/))
  },
)

test.each(['timestamp.json', '1.snapshot.json', '1.targets.json'])(
  'a doubled version in %s is refused',
  async (name) => {
    const victim = new Victim()
    const files = victim.recorded()
    const doubled = text(files.get(name)!).replace('"version":1', '"version":1,"version":1')
    files.set(name, Buffer.from(doubled))
    expect(await victim.hears(files)).toMatchObject(refused('malformed', /version/))
  },
)
