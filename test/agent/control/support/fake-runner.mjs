// A runner without a model: its "model file" says in JSON how it behaves. It counts through a source of numbered
// readings, so that a gap or a repetition in its windows can be seen.
import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

const readingsPerWindow = 5
const unstoredMax = 4
let order
let behaviour = {}
let digest
let timer
let position = 0
let windows = 0
let unstored = 0
let inferences = 0

const say = (message) => process.send(message)

function emit() {
  if (unstored >= unstoredMax) return
  const count = readingsPerWindow
  const errors = behaviour.errors ? count : 0
  const start = position
  position += count
  inferences += count - errors
  unstored++
  const counts = new Array(27).fill(0)
  counts[behaviour.slow ? 26 : 3] = count - errors
  say({
    type: 'window',
    window: ++windows,
    record: {
      slot: order.slot,
      model: order.model,
      version: order.version,
      releaseDigest: order.releaseDigest,
      start,
      end: position,
      readings: count,
      inferences: count - errors,
      errors,
      warmUp: 0,
      anomalies: 0,
      latency: { counts, sumMicros: 100 },
      drift: [],
    },
    events: [{ kind: 'tick', key: `tick/${start}`, at: start, severity: 'info', detail: { start } }],
    checkpoint: checkpoint(),
  })
  if (behaviour.spinAfterWindows === windows)
    setImmediate(() => {
      for (;;);
    })
  if (behaviour.crashAfterWindows === windows) process.exit(7)
}

const checkpoint = () => ({ source: { position }, fields: [], ring: [], previous: {} })

const handlers = {
  load(message) {
    order = message
    const bytes = readFileSync(join(message.directory, message.variant.file))
    behaviour = JSON.parse(bytes)
    digest = createHash('sha256').update(bytes).digest('hex')
    if (behaviour.load === 'crash') process.exit(9)
    if (behaviour.load === 'fail') return say({ type: 'failed', code: 'selftest_load', detail: 'no model' })
    if (behaviour.load === 'eat')
      globalThis.eaten = Array.from({ length: 40 }, () => Buffer.alloc(8_388_608, 1))
    say({ type: 'loaded', loadedDigest: digest, executionProvider: 'cpu', loadMs: 1, rssBytes: 1 })
  },
  'self-test'() {
    if (behaviour.test === 'hang') for (;;);
    if (behaviour.test === 'crash') process.kill(process.pid, 'SIGSEGV')
    if (behaviour.killed) {
      const { tally, times } = behaviour.killed
      appendFileSync(tally, '.')
      if (statSync(tally).size <= times) process.kill(process.pid, 'SIGKILL')
    }
    if (behaviour.test === 'wrong')
      return say({ type: 'failed', code: 'selftest_accuracy', detail: '0 of 8 agree' })
    const proof = createHash('sha256')
      .update(order.proofNonce + digest)
      .digest('hex')
    say({ type: 'tested', agreed: 8, total: 8, p95Micros: behaviour.p95Micros ?? 50, rssBytes: 1000, proof })
  },
  serve(message) {
    position = message.checkpoint?.source.position ?? 0
    say({ type: 'serving' })
    if (behaviour.serve === 'crash') process.exit(8)
    timer = setInterval(emit, message.windowMs)
  },
  settings({ windowMs }) {
    if (timer === undefined) return
    clearInterval(timer)
    timer = setInterval(emit, windowMs)
  },
  'hand-over'() {
    clearInterval(timer)
    if (behaviour.handOver === 'hang') for (;;);
    emit()
    say({ type: 'handed-over', checkpoint: checkpoint() })
  },
  stored() {
    unstored--
  },
  ping({ id }) {
    say({ type: 'pong', id, rssBytes: 1, inferences })
  },
  stop() {
    process.exit(0)
  },
}

process.on('message', (message) => handlers[message.type](message))
process.on('disconnect', () => process.exit(0))
say({
  type: 'started',
  pid: process.pid,
  runtime: { name: 'fake', version: '1.0', executionProviders: ['cpu'] },
})
