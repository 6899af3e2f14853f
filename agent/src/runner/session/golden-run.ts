import type { GoldenCase } from '@godwit/protocol/release/golden'
import type { Session, Tensors } from './session.ts'
import { feedOf } from './tensors.ts'

export function feedsOf(session: Session, { inputs }: GoldenCase): Tensors {
  // Without a prototype: an input may be called `__proto__`.
  const feeds: Tensors = Object.create(null)
  for (const [name, tensor] of Object.entries(inputs)) feeds[name] = feedOf(session, tensor)
  return feeds
}

/** Only what the model has: what it lacks must show up as disagreement and not as a fault of the runtime. */
export function outputsOf(session: Session, { outputs }: GoldenCase): string[] {
  return session.outputs.map(({ name }) => name).filter((name) => Object.hasOwn(outputs, name))
}

/** The same inputs again and again, wrapped once. */
export function repeatable(session: Session, vector: GoldenCase): () => Promise<unknown> {
  const feeds = feedsOf(session, vector)
  const outputs = outputsOf(session, vector)
  return () => session.run(feeds, outputs)
}
