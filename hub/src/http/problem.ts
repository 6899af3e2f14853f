import { Fault } from '@godwit/protocol/fault'
import type { Refused } from '@godwit/protocol/trust/refusal'
import type { FastifyError } from 'fastify'

/** Every problem this API answers with (RFC 9457): its slug is the end of `type` and never changes. */
export const problems = {
  'malformed-json': { status: 400, title: 'Body is not readable' },
  unauthenticated: { status: 401, title: 'Credentials are missing or not valid' },
  forbidden: { status: 403, title: 'Not allowed' },
  'not-found': { status: 404, title: 'No such thing' },
  conflict: { status: 409, title: 'Conflicts with what is there' },
  'version-exists': { status: 409, title: 'Version exists' },
  'rollout-not-active': { status: 409, title: 'Rollout is not active' },
  'gate-blocked': { status: 409, title: 'A gate does not pass' },
  'precondition-failed': { status: 412, title: 'It has changed since it was looked at' },
  'payload-too-large': { status: 413, title: 'Body is too large' },
  'unsupported-media-type': { status: 415, title: 'Content type is not supported' },
  'range-not-satisfiable': { status: 416, title: 'Range lies outside' },
  validation: { status: 422, title: 'Request is not valid' },
  'signature-invalid': { status: 422, title: 'Signed document is not trusted' },
  'digest-mismatch': { status: 422, title: 'Content does not have its digest' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'Something failed in the hub' },
  'not-ready': { status: 503, title: 'Hub is not ready' },
  'storage-full': { status: 507, title: 'No space left' },
} as const
export type ProblemSlug = keyof typeof problems

export type ProblemError = { pointer?: string; parameter?: string; detail: string }
export type ProblemExtra = {
  errors?: ProblemError[]
  hint?: string
  /** For machines, finer than the slug: `unknown_token`. */
  reason?: string
} & Record<string, unknown>

/** A request that the hub refuses; routes throw it, and the error handler answers it. */
export class Refusal extends Fault {
  readonly slug: ProblemSlug
  readonly extra: ProblemExtra

  constructor(slug: ProblemSlug, detail: string, extra: ProblemExtra = {}) {
    super(slug, detail)
    this.slug = slug
    this.extra = extra
  }
}

/** Documents that are signed are refused with the reason a device would give. */
export function refusalOf({ because, detail }: Refused): Refusal {
  // Somebody was faster: worth another try on top of what is there now, unlike a bad signature.
  const slug = because === 'version-mismatch' || because === 'rollback' ? 'conflict' : 'signature-invalid'
  return new Refusal(slug, detail, { reason: because.replaceAll('-', '_') })
}

export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  instance: string
} & ProblemExtra

/** The only place where an error becomes a status. */
export function problemOf(error: unknown, instance: string): Problem {
  const { slug, detail, extra } = read(error as Partial<FastifyError> & Error)
  const { status, title } = problems[slug]
  return { type: `/problems/${slug}`, title, status, detail, instance, ...extra }
}

function read(error: Partial<FastifyError> & Error): {
  slug: ProblemSlug
  detail: string
  extra: ProblemExtra
} {
  if (error instanceof Refusal) return { slug: error.slug, detail: error.message, extra: error.extra }
  if (error.validation) return fromValidation(error as FastifyError)
  if (error instanceof Fault) {
    if (error.code === 'bad-digest') return { slug: 'validation', detail: error.message, extra: {} }
    const slug = Object.hasOwn(problems, error.code) ? (error.code as ProblemSlug) : 'internal'
    // What failed inside is for the log; the request id leads there.
    return { slug, detail: slug === 'internal' ? 'The hub could not do it.' : error.message, extra: {} }
  }
  const slug = slugOfStatus(error.statusCode)
  return { slug, detail: slug === 'internal' ? 'The hub could not do it.' : error.message, extra: {} }
}

/** What Fastify itself refuses, before a route runs. */
function slugOfStatus(status: number | undefined): ProblemSlug {
  if (status === 400) return 'malformed-json'
  const found = Object.entries(problems).find(([, problem]) => problem.status === status)
  return found ? (found[0] as ProblemSlug) : 'internal'
}

function fromValidation({ validation = [], validationContext }: FastifyError) {
  const errors = validation.map(({ instancePath, message, params }): ProblemError => {
    const { additionalProperty, allowedValues } = params as {
      additionalProperty?: string
      allowedValues?: unknown[]
    }
    const extra = additionalProperty ?? allowedValues?.join(', ')
    const detail = `${message ?? 'is not valid'}${extra === undefined ? '' : `: ${extra}`}`
    if (validationContext === 'body') return { pointer: `#${instancePath}`, detail }
    return { parameter: instancePath.slice(1), detail }
  })
  const detail = errors.length === 1 ? '1 field is wrong.' : `${errors.length} fields are wrong.`
  return { slug: 'validation' as const, detail, extra: { errors } }
}
