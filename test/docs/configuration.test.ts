import { readFileSync, writeFileSync } from 'node:fs'
import { AgentConfigSchema } from '@godwit/agent/config'
import { HubConfig } from '@godwit/hub/config'
import { expect, test } from 'vitest'
import { configTable } from '../support/config-table.ts'

const path = new URL('../../docs/configuration.md', import.meta.url)

const expected = `# Configuration

Made from the schemas that check the files (\`UPDATE_DOCS=1 npm test -- test/docs\` writes this page anew).

## Hub: \`hub.yaml\`

Every key can be set from the environment too: \`GODWIT_HUB__MQTT__PORT=1884\`. A key that is not listed here is refused.
Durations are milliseconds, sizes bytes.

${configTable(HubConfig as never)}

## Agent: \`agent.yaml\`

Relative paths are read from the directory of the file. \`NAME\` is the name of a slot.

${configTable(AgentConfigSchema as never)}
`

test('docs/configuration.md says what the schemas say', () => {
  if (process.env['UPDATE_DOCS']) writeFileSync(path, expected)
  expect(readFileSync(path, 'utf8')).toBe(expected)
})
