import { type Features, featuresFetched, type Pipeline } from '@godwit/protocol/release/pipeline'
import type { Session, SessionTensor, Tensors } from '../session/session.ts'

/** The graph between readings and model, with the memory that it reads. Made once; nothing is copied per inference. */
export class FeatureStep {
  readonly #session: Session
  readonly #features: Features
  readonly #feeds: Tensors
  readonly #outputs: readonly string[]

  constructor(session: Session, features: Features, pipeline: Pipeline, readings: SessionTensor) {
    this.#session = session
    this.#features = features
    this.#outputs = featuresFetched(pipeline)
    this.#feeds = Object.assign(Object.create(null), { [features.input]: readings })
  }

  /** All that was asked of the graph, and among it what the model is fed. */
  async run(): Promise<{ fed: SessionTensor; made: Tensors }> {
    const made = await this.#session.run(this.#feeds, this.#outputs)
    return { fed: made[this.#features.output]!, made }
  }
}
