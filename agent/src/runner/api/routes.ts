import type { IncomingMessage } from 'node:http'
import { ApiError } from './api-error.ts'
import type { Answer } from './infer-response.ts'
import type { ModelApi } from './model-api.ts'

export type Reply = { status: number; answer: Answer; mayReuse: boolean }

const extensions = ['binary_tensor_data', 'model_repository', 'statistics']

/** Method and path to an answer. A dozen routes of one model need no router. */
export async function replyTo(request: IncomingMessage, api: ModelApi, agentVersion: string): Promise<Reply> {
  const path = partsOf(request.url ?? '/')
  const [root, ...rest] = path
  if (root === 'readings' && rest.length === 0) {
    require(request, 'POST')
    // One request a connection: then none is left open to a runner that another has replaced.
    return { status: 202, answer: json(await api.readings(request)), mayReuse: false }
  }
  if (root !== 'v2') throw unknown(path)
  if (rest.length === 0) {
    require(request, 'GET')
    return ok({ name: 'godwit', version: agentVersion, extensions })
  }
  const [noun, ...more] = rest
  if (noun === 'health' && more.length === 1 && (more[0] === 'live' || more[0] === 'ready')) {
    require(request, 'GET')
    return ok({ live: true, ready: true })
  }
  if (noun === 'repository') return repository(request, more, api)
  if (noun === 'models') return models(request, more, api)
  throw unknown(path)
}

async function models(request: IncomingMessage, parts: string[], api: ModelApi): Promise<Reply> {
  if (parts.length === 1 && parts[0] === 'stats') {
    require(request, 'GET')
    return ok(api.statistics())
  }
  const [model, ...rest] = parts
  if (model === undefined) throw unknown(['v2', 'models'])
  const hasVersion = rest[0] === 'versions' && rest.length > 1
  const [verb, ...surplus] = hasVersion ? rest.slice(2) : rest
  if (surplus.length > 0) throw unknown(['v2', 'models', ...parts])
  api.require(model, hasVersion ? rest[1] : undefined)
  if (verb === 'infer') {
    require(request, 'POST')
    return { status: 200, answer: await api.infer(request), mayReuse: true }
  }
  require(request, 'GET')
  if (verb === undefined) return ok(api.metadata())
  if (verb === 'ready') return ok(api.readiness())
  if (verb === 'stats') return ok(api.statistics())
  throw unknown(['v2', 'models', ...parts])
}

function repository(request: IncomingMessage, parts: string[], api: ModelApi): Reply {
  require(request, 'POST')
  if (parts.length === 1 && parts[0] === 'index') return ok(api.index())
  const [noun, , verb] = parts
  if (parts.length === 3 && noun === 'models' && (verb === 'load' || verb === 'unload')) {
    throw new ApiError(403, `${verb}: what runs here is decided by the signed directive of this device`)
  }
  throw unknown(['v2', 'repository', ...parts])
}

function ok(value: unknown): Reply {
  return { status: 200, answer: json(value), mayReuse: true }
}

export function json(value: unknown): Answer {
  return { body: Buffer.from(JSON.stringify(value)), contentType: 'application/json', jsonBytes: undefined }
}

function require({ method }: IncomingMessage, expected: 'GET' | 'POST'): void {
  if (method === expected || (method === 'HEAD' && expected === 'GET')) return
  throw new ApiError(405, `${method} is not possible here, ${expected} is`)
}

function partsOf(url: string): string[] {
  try {
    return url
      .split('?', 1)[0]!
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent)
  } catch {
    throw new ApiError(400, 'the path is not well encoded')
  }
}

function unknown(path: string[]): ApiError {
  return new ApiError(404, `nothing at /${path.join('/').slice(0, 200)}`)
}
