// The runner's side of the process channel with an engine that costs nothing: its "model file" says in JSON how it
// behaves. It counts through a source of numbered readings, so that a gap or a repetition in its windows shows, and it
// sends so many windows and no more, so that a run of the matrix makes the same system calls as the one before.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const readingsPerWindow = 10
const windowsMax = 6
/** Shorter than any directive may ask for: nothing here measures. */
const windowMs = 15
/** A probation that began late still gets its windows. */
const idleMs = 1_000
let order
let behaviour = {}
let digest
let timer
let position = 0
let windows = 0

const say = (message) => process.send(message)
const sha256 = (text) => createHash('sha256').update(text).digest('hex')
const checkpoint = () => ({ source: { position }, fields: [], ring: [], previous: {} })

function emit() {
  const { slot, model, version, releaseDigest } = order
  const start = position
  const errors = behaviour.errors ? readingsPerWindow : 0
  const inferences = readingsPerWindow - errors
  position += readingsPerWindow
  const counts = new Array(27).fill(0)
  counts[3] = inferences
  say({
    type: 'window',
    window: ++windows,
    record: {
      ...{ slot, model, version, releaseDigest, start, end: position, readings: readingsPerWindow },
      ...{ inferences, errors, warmUp: 0, anomalies: 0, latency: { counts, sumMicros: 100 }, drift: [] },
    },
    events: [{ kind: 'tick', key: `tick/${start}`, at: start, severity: 'info', detail: { start } }],
    checkpoint: checkpoint(),
  })
  if (windows !== windowsMax) return
  clearInterval(timer)
  timer = setInterval(emit, idleMs)
}

const handlers = {
  load(message) {
    order = message
    const bytes = readFileSync(join(message.directory, message.variant.file))
    behaviour = JSON.parse(bytes)
    digest = sha256(bytes)
    say({ type: 'loaded', loadedDigest: digest, executionProvider: 'cpu', loadMs: 1, rssBytes: 1 })
  },
  'self-test'() {
    if (behaviour.test === 'wrong')
      return say({ type: 'failed', code: 'selftest_accuracy', detail: '0 of 8 agree' })
    const proof = sha256(order.proofNonce + digest)
    say({ type: 'tested', agreed: 8, total: 8, p95Micros: 50, rssBytes: 1000, proof })
  },
  serve(message) {
    position = message.checkpoint?.source.position ?? 0
    say({ type: 'serving' })
    timer = setInterval(emit, windowMs)
  },
  settings() {},
  'hand-over'() {
    clearInterval(timer)
    emit()
    clearInterval(timer)
    say({ type: 'handed-over', checkpoint: checkpoint() })
  },
  stored() {},
  ping({ id }) {
    say({ type: 'pong', id, rssBytes: 1, inferences: windows * readingsPerWindow })
  },
  stop() {
    process.exit(0)
  },
}

process.on('message', (message) => handlers[message.type]?.(message))
process.on('disconnect', () => process.exit(0))
say({
  type: 'started',
  pid: process.pid,
  runtime: { name: 'light', version: '1.0', executionProviders: ['cpu'] },
})
