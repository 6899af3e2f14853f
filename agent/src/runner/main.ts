// Before anything loads ONNX Runtime, which happens on first use and not by an import: newer ones report home by default.
process.env['ORT_DISABLE_TELEMETRY'] = '1'

import type { ResultCode } from '@godwit/protocol/result-code'
import { systemClock } from './clock.ts'
import { engines } from './engine.ts'
import { Host } from './host.ts'
import type { FromRunner, ToRunner } from './messages.ts'
import { preflight } from './preflight.ts'
import { textOf } from './text-of.ts'

/** Told by an exit code as well, for the case that nobody hears the message. */
const exitFailed = 70

let unsent = 0
let onAllSent: (() => void) | undefined

function send(message: FromRunner): void {
  // A channel that is closed means that control is gone; 'disconnect' ends this process.
  if (!process.connected) return
  unsent++
  process.send?.(message, undefined, undefined, () => {
    unsent--
    if (unsent === 0) onAllSent?.()
  })
}

/** Not before everything said has left this process: a last window may be larger than the channel's buffer. */
function exitWhenSent(code: number): void {
  onAllSent = () => process.exit(code)
  if (unsent === 0) onAllSent()
}

function die(code: ResultCode, error: unknown): void {
  setTimeout(() => process.exit(exitFailed), 500).unref()
  send({ type: 'failed', code, detail: textOf(error).slice(0, 1_000) })
  exitWhenSent(exitFailed)
}

process.on('uncaughtException', (error) => die('internal', error))
process.on('unhandledRejection', (reason) => die('internal', reason))
// Control decides when a runner ends: a Ctrl-C reaches the whole process group, and the last window would be lost.
process.on('SIGTERM', () => {})
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit(0))

/** A word each, never anything of a release: ONNX Runtime has been seen to die of a long command line. */
const engine = engines[process.argv.includes('--wasm') ? 'wasm' : 'native']

const host = new Host({
  send,
  open: engine.open,
  clock: systemClock,
  rssBytes: () => process.memoryUsage.rss(),
  cpuMicros: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  stopped: () => exitWhenSent(0),
})

try {
  const runtime = engine.runtime()
  if (process.argv.includes('--preflight')) await preflight(engine.open)
  process.on('message', (message, handle) => host.take(message as ToRunner, handle))
  send({ type: 'started', pid: process.pid, runtime })
} catch (error) {
  die('unsupported_arch', error)
}
