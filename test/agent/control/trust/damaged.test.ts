import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Victim } from '../../../attacks/victim.ts'

const rubbish = [
  '',
  'null',
  '[]',
  '{}',
  '{"signed":null}',
  '{"signed":{"version":"7"}}',
  '{"signed":',
  '\u0000'.repeat(300),
]

test.each(rubbish)(
  'a disk that holds %j where documents were neither stops the device nor is believed',
  async (text) => {
    const victim = new Victim()
    mkdirSync(join(victim.directory, 'trust'), { recursive: true })
    for (const role of ['root', 'timestamp', 'snapshot', 'targets', 'team'])
      writeFileSync(join(victim.directory, 'trust', `${role}.json`), text)
    writeFileSync(join(victim.directory, 'directive.json'), text)
    victim.restart()
    expect(victim.trust.directive).toBeUndefined()
    const goal = victim.lists('gauge', '1')
    victim.repository.publish()
    expect(await victim.hears()).toMatchObject({ trusted: true })
    expect(await victim.finds(goal)).toMatchObject({ trusted: true })
    expect(await victim.takes(victim.directive(1))).toMatchObject({ trusted: true })
  },
)
