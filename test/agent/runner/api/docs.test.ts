import { readFileSync } from 'node:fs'
import { agentConfig } from '@godwit/agent/config'
import { pipeline } from '@godwit/protocol/release/pipeline'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { startApi } from './api-runner.ts'

const page = (name: string) => readFileSync(new URL(`../../../../docs/${name}.md`, import.meta.url), 'utf8')
const blocks = (name: string, language: string): string[] =>
  [...page(name).matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, text]) => text!)

test.each(['sources', 'inference-api'])('every configuration in docs/%s.md is one', (name) => {
  const configurations = blocks(name, 'yaml')
  expect(configurations.length).toBeGreaterThan(1)
  for (const text of configurations) agentConfig({ stateDir: 'state', ...parse(text) }, '/etc/godwit')
})

test('the pipeline in docs/sources.md is one', () => {
  const [text] = blocks('sources', 'json')
  expect(pipeline.check(JSON.parse(text!))).toMatchObject({ ok: true })
})

test('the request in docs/inference-api.md gets the answer that stands there', async () => {
  const [request, answer] = blocks('inference-api', 'json')
  const { url } = await startApi()
  const response = await fetch(`${url}/v2/models/mean/infer`, { method: 'POST', body: request! })
  expect(await response.json()).toEqual(JSON.parse(answer!))
})

test('the limits in docs/inference-api.md are the defaults', () => {
  const slots = { default: { source: { kind: 'api' }, api: { socket: 'x' } } }
  const { limits } = agentConfig({ stateDir: 'state', slots }, '/').slots['default']!.api!
  const row = (key: string) => new RegExp(`\`${key}\` \\| ([^|]+) \\|`).exec(page('inference-api'))?.[1]
  expect(row('bodyBytesMax')).toBe(`${limits.bodyBytesMax / 2 ** 20} MiB`)
  for (const key of ['elementsMax', 'queueMax', 'deadlineMs', 'connectionsMax'] as const)
    expect(row(key)).toBe(limits[key].toLocaleString('en'))
})
