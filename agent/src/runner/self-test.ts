import { createHash } from 'node:crypto'
import { agreementOf, type Golden, type GoldenCase } from '@godwit/protocol/release/golden'
import type { Clock } from './clock.ts'
import type { FromRunner } from './messages.ts'
import { type Outcome, type Refusal, refuse } from './outcome.ts'
import type { Session, Tensors } from './session/session.ts'
import { answerOf, bytesOf, feedOf } from './session/tensors.ts'
import { p95MicrosOf } from './timing.ts'

export type Promises = { p95Micros?: number; memoryBytes?: number }

export type SelfTest = {
  session: Session
  golden: Golden
  promises: Promises
  proofNonce: string
  /** SHA-256 of the model file as it was read just before loading, hex. */
  loadedDigest: string
  clock: Clock
  /** Resident memory of this process now, bytes. */
  rssBytes: () => number
}

export type Tested = Omit<Extract<FromRunner, { type: 'tested' }>, 'type'>

/** Does this model, on this device, answer what its publisher signed, within what the release promises? (SPEC 4.5) */
export async function selfTest(test: SelfTest): Promise<Outcome<Tested>> {
  try {
    return await examine(test)
  } catch (error) {
    return refuse('selftest_crash', `the model failed on a golden vector: ${(error as Error).message}`)
  }
}

async function examine(test: SelfTest): Promise<Outcome<Tested>> {
  const { session, golden, clock } = test
  const answers: { agreed: number; total: number; worst: string } = { agreed: 0, total: 0, worst: '' }
  let firstAnswer: Uint8Array | undefined
  for (const [index, vector] of golden.cases.entries()) {
    const answer = await session.run(feedsOf(session, vector), outputsOf(session, vector))
    firstAnswer ??= bytesOfAnswer(session, answer)
    const { agreed, total, worst } = agreementOf(vector.outputs, readable(answer), golden)
    if (agreed < total && answers.worst === '') answers.worst = `case ${index}: ${worst}`
    answers.agreed += agreed
    answers.total += total
  }
  const { agreed, total } = answers
  // Nothing compared is nothing proven.
  if (total === 0 || agreed < golden.minAgree * total) {
    const share = `${agreed} of ${total} numbers agree, ${golden.minAgree * 100} % must`
    return refuse('selftest_accuracy', `${share}; ${answers.worst}`)
  }
  const p95Micros = await p95MicrosOf(repeatable(session, golden.cases[0]!), () => clock.monotonicMs())
  const tested = { agreed, total, p95Micros, rssBytes: test.rssBytes(), proof: proofOf(test, firstAnswer!) }
  return broken(test.promises, tested) ?? { ok: true, value: tested }
}

function broken({ p95Micros, memoryBytes }: Promises, tested: Tested): Refusal | undefined {
  if (p95Micros !== undefined && tested.p95Micros > p95Micros) {
    return refuse('selftest_latency', `95 % within ${tested.p95Micros} µs, promised were ${p95Micros} µs`)
  }
  if (memoryBytes !== undefined && tested.rssBytes > memoryBytes) {
    return refuse('selftest_memory', `${tested.rssBytes} bytes resident, promised were ${memoryBytes}`)
  }
  return undefined
}

/** Over nonce, digest and answer: nobody can give it who did not run these bytes in this session (SPEC 6.6). */
function proofOf({ proofNonce, loadedDigest }: SelfTest, answer: Uint8Array): string {
  return createHash('sha256')
    .update(proofNonce, 'utf8')
    .update(Buffer.from(loadedDigest, 'hex'))
    .update(answer)
    .digest('hex')
}

function feedsOf(session: Session, { inputs }: GoldenCase): Tensors {
  // Without a prototype: an input may be called `__proto__`.
  const feeds: Tensors = Object.create(null)
  for (const [name, tensor] of Object.entries(inputs)) feeds[name] = feedOf(session, tensor)
  return feeds
}

/** Only what the model has: what it lacks must show up as disagreement and not as a fault of the runtime. */
function outputsOf(session: Session, { outputs }: GoldenCase): string[] {
  return session.outputs.map(({ name }) => name).filter((name) => Object.hasOwn(outputs, name))
}

function repeatable(session: Session, vector: GoldenCase): () => Promise<unknown> {
  const feeds = feedsOf(session, vector)
  const outputs = outputsOf(session, vector)
  return () => session.run(feeds, outputs)
}

function readable(answer: Tensors) {
  return Object.fromEntries(Object.entries(answer).map(([name, tensor]) => [name, answerOf(tensor)]))
}

/** In the order in which the model declares its outputs. */
function bytesOfAnswer(session: Session, answer: Tensors): Uint8Array {
  const present = session.outputs.filter(({ name }) => Object.hasOwn(answer, name))
  return Buffer.concat(present.map(({ name }) => bytesOf(answer[name]!)))
}
