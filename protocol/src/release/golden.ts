import Type, { type Static } from 'typebox'
import { defineDocument, mapOf } from '../schema.ts'
import { DtypeName } from './release.ts'

export const GoldenTensor = Type.Object({
  dtype: DtypeName,
  shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 16 }),
  /** Row-major. Integers beyond 2^53 are not representable here; such models use float or int32 golden inputs. */
  data: Type.Union([Type.Array(Type.Number()), Type.Array(Type.Boolean()), Type.Array(Type.String())]),
})
export type GoldenTensor = Static<typeof GoldenTensor>

export const GoldenCase = Type.Object({
  inputs: mapOf(GoldenTensor),
  outputs: mapOf(GoldenTensor),
})
export type GoldenCase = Static<typeof GoldenCase>

/** Inputs with the answers the publisher signed (SPEC 4.5): what a hash can never show, these do. */
export const Golden = Type.Object({
  format: Type.Literal('godwit-golden/1'),
  /** A number agrees when |got − expected| <= atol + rtol·|expected|. */
  atol: Type.Number({ minimum: 0 }),
  rtol: Type.Number({ minimum: 0 }),
  /** Share of all output numbers that must agree, 0 to 1. */
  minAgree: Type.Number({ minimum: 0, maximum: 1 }),
  cases: Type.Array(GoldenCase, { minItems: 1, maxItems: 1024 }),
})
export type Golden = Static<typeof Golden>
export const golden = defineDocument('golden vectors', Golden)

export type Agreement = { agreed: number; total: number; worst: string }

/**
 * Compares one answer with the signed one. A missing output, another shape or type, NaN or infinity where the
 * publisher had a number counts every element of that output as disagreeing.
 */
export function agreementOf(
  expected: GoldenCase['outputs'],
  got: Record<
    string,
    { dtype: string; shape: readonly number[]; data: ArrayLike<number | bigint | boolean | string> }
  >,
  tolerance: { atol: number; rtol: number },
): Agreement {
  let agreed = 0
  let total = 0
  let worst = ''
  let worstBy = -1
  for (const [name, want] of Object.entries(expected)) {
    total += want.data.length
    const answer = Object.hasOwn(got, name) ? got[name] : undefined
    const misfit = answer ? misfitOf(want, answer) : 'is missing'
    if (answer === undefined || misfit) {
      worst = `output ${name} ${misfit}`
      worstBy = Number.POSITIVE_INFINITY
      continue
    }
    for (let i = 0; i < want.data.length; i++) {
      const by = disagreement(want.data[i]!, answer.data[i]!, tolerance)
      if (by <= 0) agreed++
      else if (by > worstBy) {
        worstBy = by
        worst = `output ${name}[${i}]: expected ${want.data[i]}, got ${String(answer.data[i])}`
      }
    }
  }
  return { agreed, total, worst }
}

function misfitOf(
  want: GoldenTensor,
  got: { dtype: string; shape: readonly number[]; data: ArrayLike<unknown> },
): string {
  if (got.dtype !== want.dtype) return `is ${got.dtype}, expected ${want.dtype}`
  if (got.shape.join() !== want.shape.join()) return `has shape [${got.shape}], expected [${want.shape}]`
  return got.data.length === want.data.length
    ? ''
    : `has ${got.data.length} elements, expected ${want.data.length}`
}

/** Zero or less: within tolerance. Larger is worse. */
function disagreement(
  want: number | boolean | string,
  got: number | bigint | boolean | string,
  { atol, rtol }: { atol: number; rtol: number },
): number {
  if (typeof want !== 'number') return want === got ? 0 : Number.POSITIVE_INFINITY
  const difference = Math.abs(Number(got) - want)
  return Number.isFinite(difference) ? difference - (atol + rtol * Math.abs(want)) : Number.POSITIVE_INFINITY
}
