import type { IncomingMessage } from 'node:http'
import type { Release } from '@godwit/protocol/release/release'
import type { Clock } from '../clock.ts'
import type { ApiLimits } from '../messages.ts'
import type { Inferred } from '../serve.ts'
import type { Session, Tensors } from '../session/session.ts'
import { ApiError, badRequest } from './api-error.ts'
import type { Bodies } from './body.ts'
import { datatypeOf } from './datatypes.ts'
import { openShape, readInferRequest } from './infer-request.ts'
import { type Answer, writeInferResponse } from './infer-response.ts'
import { Statistics } from './statistics.ts'
import { NoTurn, type QueueLimits } from './turns.ts'

/** What the API knows of the runner that it is part of. */
export type Served = {
  model: string
  version: string
  /** SHA-256 of the model file as it was loaded. */
  loadedDigest: string
  io: Release['io']
  session: Session
  infer: (feeds: Tensors, outputs: readonly string[], limits: QueueLimits) => Promise<Inferred>
  /** Where the slot's source is its API: readings out of a body. @throws ApiError where it is another */
  takeReadings: (body: string) => { accepted: number; flawed: number; waiting: number }
  rssBytes: () => number
  clock: Clock
}

/** The one model that a slot serves, as the Open Inference Protocol sees it. */
export class ModelApi {
  readonly #served: Served
  readonly #limits: ApiLimits
  readonly #bodies: Bodies
  readonly #statistics = new Statistics()

  constructor(served: Served, limits: ApiLimits, bodies: Bodies) {
    this.#served = served
    this.#limits = limits
    this.#bodies = bodies
  }

  /** @throws ApiError 404 when it is not this one */
  require(model: string, version: string | undefined): void {
    const { model: name, version: served } = this.#served
    if (model !== name) throw new ApiError(404, `model ${model} is not served here, ${name} is`)
    if (version !== undefined && version !== served) {
      throw new ApiError(404, `version ${version} of ${name} is not served here, ${served} is`)
    }
  }

  metadata() {
    const { model, version, io, loadedDigest } = this.#served
    const tensors = (side: Release['io']['inputs']) =>
      side.map(({ name, dtype, shape }) => ({ name, datatype: datatypeOf[dtype], shape: openShape(shape) }))
    return {
      name: model,
      versions: [version],
      platform: 'onnx_onnxv1',
      inputs: tensors(io.inputs),
      outputs: tensors(io.outputs),
      properties: { sha256: loadedDigest },
    }
  }

  readiness() {
    return { name: this.#served.model, ready: true }
  }

  index() {
    const { model, version } = this.#served
    return [{ name: model, version, state: 'READY', reason: '' }]
  }

  statistics() {
    const { model, version, rssBytes } = this.#served
    return { model_stats: [this.#statistics.read(model, version, rssBytes())] }
  }

  async infer(request: IncomingMessage): Promise<Answer> {
    const { clock } = this.#served
    const startMs = clock.monotonicMs()
    try {
      return await this.#bodies.with(request, (body) => this.#answer(body, headerLength(request)))
    } catch (error) {
      this.#statistics.failed(clock.monotonicMs() - startMs)
      throw error
    }
  }

  async #answer(body: Buffer, jsonBytes: number | undefined): Promise<Answer> {
    const { session, io, infer, clock } = this.#served
    const cameMs = clock.monotonicMs()
    const asked = readInferRequest(body, jsonBytes, session, io, this.#limits)
    const readMs = clock.monotonicMs()
    const outputs = asked.outputs.map(({ name }) => name)
    const inferred = await infer(asked.feeds, outputs, this.#limits).catch((error) => {
      throw refusalOf(error)
    })
    const inferredMs = clock.monotonicMs()
    const answer = writeInferResponse(asked, this.#served, inferred.answer)
    this.#statistics.succeeded(clock.now(), {
      queue: inferred.queueMs,
      input: readMs - cameMs,
      infer: inferred.computeMs,
      output: clock.monotonicMs() - inferredMs,
    })
    return answer
  }

  async readings(request: IncomingMessage) {
    return this.#bodies.with(request, async (body) => this.#served.takeReadings(body.toString('utf8')))
  }
}

/** What a model's runtime says is for the log of whoever asked; it names tensors, never memory. */
function refusalOf(error: unknown): ApiError {
  if (error instanceof NoTurn) return new ApiError(error.because === 'full' ? 503 : 504, error.message)
  return new ApiError(500, `the model failed: ${(error as Error).message.slice(0, 500)}`)
}

function headerLength({ headers }: IncomingMessage): number | undefined {
  const text = headers['inference-header-content-length']
  if (text === undefined) return undefined
  const length = Number(text)
  if (/^\d{1,10}$/.test(String(text))) return length
  throw badRequest('Inference-Header-Content-Length must be a number of bytes')
}
