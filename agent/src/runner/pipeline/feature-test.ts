import { agreementOf, type Golden } from '@godwit/protocol/release/golden'
import { type Outcome, refuse } from '../outcome.ts'
import { feedsOf, outputsOf } from '../session/golden-run.ts'
import type { Session } from '../session/session.ts'
import { answerOf } from '../session/tensors.ts'

/**
 * Does the features graph, on this device, answer what its publisher signed? The model's own golden vectors begin behind
 * it (SPEC 4.6.3). Says how many numbers agreed.
 */
export async function testFeatures(session: Session, golden: Golden): Promise<Outcome<number>> {
  let agreed = 0
  let total = 0
  let worst = ''
  try {
    for (const [index, vector] of golden.cases.entries()) {
      const answer = await session.run(feedsOf(session, vector), outputsOf(session, vector))
      const readable = Object.fromEntries(
        Object.entries(answer).map(([name, tensor]) => [name, answerOf(tensor)]),
      )
      const found = agreementOf(vector.outputs, readable, golden)
      if (found.agreed < found.total && worst === '') worst = `case ${index}: ${found.worst}`
      agreed += found.agreed
      total += found.total
    }
  } catch (error) {
    return refuse(
      'selftest_crash',
      `the features graph failed on a golden vector: ${(error as Error).message}`,
    )
  }
  if (total > 0 && agreed >= golden.minAgree * total) return { ok: true, value: agreed }
  const share = `${agreed} of ${total} numbers agree, ${golden.minAgree * 100} % must`
  return refuse('selftest_accuracy', `features: ${share}; ${worst}`)
}
