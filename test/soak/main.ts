import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { soak } from './soak.ts'
import { World } from './world.ts'

const usage = `soak: a hub and a few agents, releases good and bad, and somebody at the plugs

  --minutes M    how long plugs are pulled (10)
  --seed S       which ones, and which releases (drawn, and told)
  --devices N    agents (3)
  --verbose      tell what happens while it happens
  --keep DIR     copy the logs of hub and agents there when something is wrong
`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    devices: { type: 'string', default: '3' },
    verbose: { type: 'boolean', default: false },
    keep: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}

const startedMs = performance.now()
const lines: string[] = []
const tell = (text: string) => {
  const line = `${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(7)} ${text}`
  lines.push(line)
  if (values.verbose) process.stderr.write(`${line}\n`)
}

const seed = Number(values.seed)
const world = await World.open(Number(values.devices), seed)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    world.abandon()
    process.exit(130)
  })
const { wrong, pulled, releases } = await soak(world, { minutes: Number(values.minutes), seed, tell })
if (wrong.length > 0 && values.keep)
  cpSync(join(world.box.directory, 'logs'), values.keep, { recursive: true })
await world.close()

if (wrong.length > 0 && !values.verbose) process.stderr.write(`${lines.join('\n')}\n`)
for (const one of wrong) process.stderr.write(`WRONG  ${one}\n`)
process.stderr.write(
  `soak: seed ${seed}, ${pulled} plugs pulled, ${releases} releases rolled out, ${wrong.length} things wrong\n`,
)
process.exitCode = wrong.length > 0 ? 1 : 0
