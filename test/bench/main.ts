import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { benchDownload } from './download.ts'
import { benchFootprint } from './footprint.ts'
import { benchHub } from './hub.ts'
import { benchInference } from './inference.ts'
import { benchSwap } from './swap.ts'
import { benchTrust } from './trust.ts'

/** One figure: what was measured, and what it is to be read against. */
export type Figure = { value: number; unit: string; baseline: number | string | null }
export type Bench = () => Promise<Record<string, Figure>> | Record<string, Figure>

const benches: Record<string, Bench> = {
  inference: benchInference,
  swap: benchSwap,
  footprint: benchFootprint,
  trust: benchTrust,
  download: benchDownload,
  hub: benchHub,
}

const { values, positionals } = parseArgs({
  options: { json: { type: 'string' } },
  allowPositionals: true,
})
const chosen = positionals.length > 0 ? positionals : Object.keys(benches)
const figures: Record<string, Figure> = {}
for (const name of chosen) {
  const bench = benches[name]
  if (!bench) {
    process.stderr.write(`no bench ${name}; there are ${Object.keys(benches).join(', ')}\n`)
    process.exit(2)
  }
  process.stderr.write(`${name}…\n`)
  for (const [key, figure] of Object.entries(await bench())) {
    figures[key] = figure
    const baseline = figure.baseline === null ? '' : `   (baseline ${rounded(figure.baseline)})`
    process.stdout.write(
      `${key.padEnd(34)} ${String(rounded(figure.value)).padStart(10)} ${figure.unit}${baseline}\n`,
    )
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`)

function rounded(value: number | string): number | string {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}
