import { createHash } from 'node:crypto'
import { agreementOf, type Golden } from '@godwit/protocol/release/golden'
import type { Clock } from './clock.ts'
import type { FromRunner } from './messages.ts'
import { type Outcome, refuse } from './outcome.ts'
import { feedsOf, outputsOf, repeatable } from './session/golden-run.ts'
import type { Session, Tensors } from './session/session.ts'
import { answerOf, bytesOf } from './session/tensors.ts'
import { timesOf } from './timing.ts'

export type SelfTest = {
  session: Session
  golden: Golden
  proofNonce: string
  /** SHA-256 of the model file as it was read just before loading, hex. */
  loadedDigest: string
  clock: Clock
  /** CPU time of this process so far, microseconds. */
  cpuMicros: () => number
  /** Resident memory of this process now, bytes. */
  rssBytes: () => number
}

export type Tested = Omit<Extract<FromRunner, { type: 'tested' }>, 'type'>

/** Does this model, on this device, answer what its publisher signed, and how fast? (SPEC 4.5) What it promised, control judges. */
export async function selfTest(test: SelfTest): Promise<Outcome<Tested>> {
  try {
    return await examine(test)
  } catch (error) {
    return refuse('selftest_crash', `the model failed on a golden vector: ${(error as Error).message}`)
  }
}

async function examine(test: SelfTest): Promise<Outcome<Tested>> {
  const { session, golden, clock, cpuMicros } = test
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
  const watch = { monotonicMs: () => clock.monotonicMs(), cpuMicros }
  const times = await timesOf(repeatable(session, golden.cases[0]!), watch)
  const tested = { agreed, total, ...times, rssBytes: test.rssBytes(), proof: proofOf(test, firstAnswer!) }
  return { ok: true, value: tested }
}

/** Over nonce, digest and answer: nobody can give it who did not run these bytes in this session (SPEC 6.6). */
function proofOf({ proofNonce, loadedDigest }: SelfTest, answer: Uint8Array): string {
  return createHash('sha256')
    .update(proofNonce, 'utf8')
    .update(Buffer.from(loadedDigest, 'hex'))
    .update(answer)
    .digest('hex')
}

function readable(answer: Tensors) {
  return Object.fromEntries(Object.entries(answer).map(([name, tensor]) => [name, answerOf(tensor)]))
}

/** In the order in which the model declares its outputs. */
function bytesOfAnswer(session: Session, answer: Tensors): Uint8Array {
  const present = session.outputs.filter(({ name }) => Object.hasOwn(answer, name))
  return Buffer.concat(present.map(({ name }) => bytesOf(answer[name]!)))
}
