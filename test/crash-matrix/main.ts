import { appendFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Outcome } from './cell.ts'
import { runMatrix } from './matrix.ts'
import { type Cell, faults } from './places.ts'
import { sampleOf } from './sample.ts'
import { stories } from './stories.ts'
import { tableOf } from './table.ts'
import { canTrace } from './trace.ts'

const usage = `crash-matrix: harms every system call of an install, and looks whether the device comes back

  --every        EIO and ENOSPC at the pages in the middle of a commit, too (half as long again)
  --sample N     so many cells instead of all, spread over every kind of call
  --seed S       which ones (1)
  --story NAME   one story: ${stories.map(({ name }) => name).join(', ')}
  --fault NAME   one harm: ${faults.join(', ')}
  --engine NAME  light or onnx
  --index I      one call, by its number in the listing
  --workers N    processes (2)
  --lanes N      cells that a worker lives side by side (3)
  --out FILE     where the table goes (agent/CRASH-MATRIX.md of a full run; nowhere else otherwise)
  --verbose      a line for every cell, and what a red one said
`

const { values } = parseArgs({
  options: {
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    story: { type: 'string' },
    fault: { type: 'string' },
    index: { type: 'string' },
    engine: { type: 'string' },
    workers: { type: 'string', default: '2' },
    lanes: { type: 'string', default: '3' },
    out: { type: 'string' },
    log: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    every: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}
if (!canTrace()) {
  process.stderr.write('crash-matrix: needs strace 6 that may attach to processes and inject; not here\n')
  process.exit(2)
}

const isWhole =
  values.sample === undefined && !values.story && !values.fault && !values.engine && !values.index
const out = values.out ?? (isWhole ? new URL('../../agent/CRASH-MATRIX.md', import.meta.url) : undefined)

function choose(cells: readonly Cell[]): readonly Cell[] {
  const wanted = cells.filter(
    ({ place, fault, engine }) =>
      (!values.story || place.story === values.story) &&
      (!values.fault || fault === values.fault) &&
      (!values.engine || engine === values.engine) &&
      (!values.index || place.index === Number(values.index)),
  )
  return values.sample === undefined ? wanted : sampleOf(wanted, Number(values.sample), Number(values.seed))
}

const nameOf = ({ cell: { place, fault, engine } }: Outcome) =>
  `${place.story} ${fault} ${engine === 'onnx' ? 'onnx ' : ''}${place.index} (${place.call} ${place.path}, no. ${place.nth}, ${place.phase})`

// The workers end with this process, and what it made in the temporary directory goes with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))

const startedMs = performance.now()
const matrix = await runMatrix({
  workers: Number(values.workers),
  lanes: Number(values.lanes),
  every: values.every,
  choose,
  onnxPerMille: 50,
  onListed: (places, cells) =>
    process.stderr.write(
      `${places.length} calls in ${stories.length} stories; ${cells.length} cells to live\n`,
    ),
  onOutcome: (outcome, done, total) => {
    const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1)
    if (values.log) appendFileSync(values.log, `${JSON.stringify(outcome)}\n`)
    if (outcome.wrong.length > 0) {
      process.stderr.write(`RED  ${nameOf(outcome)}: ${outcome.wrong.join('; ')}\n`)
      if (values.verbose)
        process.stderr.write(outcome.log.map((line) => `       ${line.slice(0, 400)}\n`).join(''))
    } else if (values.verbose) process.stderr.write(`${outcome.course.padEnd(14)} ${nameOf(outcome)}\n`)
    if (done % 100 === 0 || done === total) process.stderr.write(`${done} of ${total}, ${minutes} min\n`)
  },
})

const { text, red, missed } = tableOf(matrix)
if (out) writeFileSync(out, text)
const green = matrix.outcomes.length - red - missed
process.stderr.write(`${green} green, ${red} red, ${missed} not reached\n`)
// A matrix that does not reach its calls proves nothing.
process.exitCode = red > 0 || missed * 20 > matrix.outcomes.length ? 1 : 0
