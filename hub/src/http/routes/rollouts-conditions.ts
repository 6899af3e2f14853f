import { sha256Hex } from '@godwit/protocol/release/blocks'
import { utf8 } from '@godwit/protocol/trust/encoding'
import type { FastifyRequest } from 'fastify'
import { jcsText } from '../../rollout/jcs.ts'
import type { Once } from '../../store/idempotency-store.ts'
import { whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'

/** RFC 9110 8.8.3. The revision counts every change that is stored. */
export function entityTag(revision: number): string {
  return `"${revision}"`
}

/**
 * RFC 9110 13.1.1. Undefined: whatever revision there is. Not required: a rollout that runs changes with every report,
 * so an operator in a hurry could never pause one if its revision had to be hit.
 */
export function revisionsIn({ headers }: Pick<FastifyRequest, 'headers'>): { revisions?: number[] } {
  const header = headers['if-match']
  if (header === undefined || header.trim() === '*') return {}
  const tags = header.split(',').map((tag) => tag.trim())
  // A weak tag never matches here (RFC 9110 13.1.1), and neither does what this hub has not given.
  return { revisions: tags.flatMap((tag) => (/^"\d{1,15}"$/.test(tag) ? [Number(tag.slice(1, -1))] : [])) }
}

/** As a structured string or bare: clients send both. */
const keyPattern = /^(?:"([\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x5b\x5d-\x7e]{1,255}))$/

/** A request that its sender may repeat until it has an answer. Undefined: it is not one. */
export function onceOf(request: FastifyRequest): Once | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  const found = typeof header === 'string' ? keyPattern.exec(header) : null
  const key = found?.[1] ?? found?.[2]
  if (key === undefined) {
    throw new Refusal('validation', 'the Idempotency-Key is not readable', {
      errors: [{ parameter: 'idempotency-key', detail: 'must be 1 to 255 visible ASCII characters' }],
    })
  }
  return { who: whoOf(request), key, requestSha256: sha256Hex(utf8(jcsText(request.body))) }
}
