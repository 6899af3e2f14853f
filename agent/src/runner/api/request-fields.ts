import type { Profile } from '@godwit/protocol/drift/profile'
import type { Pipeline } from '@godwit/protocol/release/pipeline'
import type { SessionTensor, Tensors } from '../session/session.ts'

type Fields = Record<string, number>

/**
 * The readings in a request: the newest, and the one before it where the model takes several. Only requests for one
 * answer are read, and only where every number that the profile knows can be told from a request; a part of them would
 * look like a sensor that broke.
 */
export class RequestFields {
  readonly #pipeline: Pipeline

  private constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  static of(pipeline: Pipeline, profile: Profile, rank: number): RequestFields | undefined {
    const { fields, window, features, monitor } = pipeline
    const hasReadings = features === undefined
    const isKnown = ({ name }: { name: string }): boolean => {
      const of = monitor.find((one) => one.name === name)?.of
      if (!of || 'feature' in of) return false
      if ('output' in of) return true
      if ('field' in of) return hasReadings && fields.includes(of.field)
      return hasReadings && rank === 3 && window > 1 && fields.includes(of.incrementOf)
    }
    return profile.features.every(isKnown) ? new RequestFields(pipeline) : undefined
  }

  read(feeds: Tensors): { last: Fields; before: Fields | undefined } | undefined {
    const { input, fields, window, features } = this.#pipeline
    const tensor = feeds[input]
    if (!tensor) return undefined
    if (features) return tensor.dims[0] === 1 ? { last: {}, before: undefined } : undefined
    if (tensor.data.length !== window * fields.length) return undefined
    return {
      last: this.#row(tensor, window - 1),
      before: window > 1 ? this.#row(tensor, window - 2) : undefined,
    }
  }

  #row({ data }: SessionTensor, row: number): Fields {
    const { fields } = this.#pipeline
    return Object.fromEntries(fields.map((field, f) => [field, Number(data[row * fields.length + f])]))
  }
}
