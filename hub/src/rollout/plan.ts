import { parseInstallWindow } from '@godwit/protocol/install-window'
import { defaultProbation, ProbationPolicy } from '@godwit/protocol/messages/directive'
import { latencyBucketMicros } from '@godwit/protocol/messages/telemetry'
import { defineDocument, EpochMs } from '@godwit/protocol/schema'
import Type, { type Static } from 'typebox'

export const gateMetrics = ['error_rate', 'p95_micros', 'drift_evidence'] as const
export type GateMetric = (typeof gateMetrics)[number]

/** A condition on what the wave's devices do after they have been updated. */
export const GatePlan = Type.Object(
  {
    /** error_rate: failed share of attempts, 0..1; p95_micros: microseconds; drift_evidence: odds against "no drift". */
    metric: Type.Unsafe<GateMetric>(Type.String({ enum: [...gateMetrics] })),
    max: Type.Number({ minimum: 0 }),
  },
  { additionalProperties: false },
)
export type GatePlan = Static<typeof GatePlan>

export const WaveSize = Type.Union([
  /** This many devices more. */
  Type.Object({ count: Type.Integer({ minimum: 1 }) }, { additionalProperties: false }),
  /** As many as it takes until this share of the cohort has had its turn; at least one. */
  Type.Object(
    { percent: Type.Number({ exclusiveMinimum: 0, maximum: 100 }) },
    { additionalProperties: false },
  ),
  Type.Object({ rest: Type.Literal(true) }, { additionalProperties: false }),
])
export type WaveSize = Static<typeof WaveSize>

/** How many users other than the rollout's creator must say yes before it goes on. */
export const ApprovalPlan = Type.Object(
  { count: Type.Integer({ minimum: 1, maximum: 100 }) },
  { additionalProperties: false },
)

export const WavePlan = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64 }),
    size: WaveSize,
    /** How long the wave must have run its release, after its last device ended, before it is judged. */
    soakMs: Type.Integer({ minimum: 0 }),
    /** Attempts (inferences and errors) that every updated device must have answered. Never 0: no evidence, no pass. */
    minSample: Type.Integer({ minimum: 1 }),
    /** Succeeded over succeeded and failed, 0..1. Devices that never answered count on neither side. */
    successShare: Type.Number({ minimum: 0, maximum: 1 }),
    /** How long a device may stay in one state. Integer milliseconds. */
    deadlineMs: Type.Integer({ minimum: 1 }),
    gates: Type.Array(GatePlan, { maxItems: gateMetrics.length }),
    /** Absent: the wave opens as soon as the one before it has passed. */
    approvals: Type.Optional(ApprovalPlan),
  },
  { additionalProperties: false },
)
export type WavePlan = Static<typeof WavePlan>

export const Plan = Type.Object(
  {
    waves: Type.Array(WavePlan, { minItems: 1, maxItems: 32 }),
    onFailure: Type.Union([Type.Literal('pause'), Type.Literal('rollback')]),
    /** Devices that may be at work on this rollout at once: the hub's and the link's load. */
    maxInFlight: Type.Integer({ minimum: 1, maximum: 100_000 }),
    probation: ProbationPolicy,
    /** Length of the devices' telemetry windows. Integer milliseconds. */
    windowMs: Type.Integer({ minimum: 100 }),
    /** Label that tells hardware classes apart; every class is then in the first waves. */
    stratifyBy: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' })),
    /** When devices may install, in their own local time, such as `Mon-Fri 22:00-05:00`; absent: whenever they like. */
    installWindows: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 16 })),
    /** Absent: at once. */
    startAt: Type.Optional(EpochMs),
    /** Before anybody is directed. Absent: as many as the hub's `rollouts.approvals` says. */
    approvals: Type.Optional(ApprovalPlan),
  },
  { additionalProperties: false },
)
export type Plan = Static<typeof Plan>
const plan = defineDocument('plan', Plan)

/** What a caller may send: everything but names and sizes has a default. */
export const PlanRequest = Type.Object(
  {
    ...Type.Partial(Type.Omit(Plan, ['waves', 'probation'])).properties,
    probation: Type.Optional(Type.Partial(ProbationPolicy)),
    waves: Type.Optional(
      Type.Array(
        Type.Object(
          {
            ...Type.Partial(Type.Omit(WavePlan, ['name', 'size'])).properties,
            name: WavePlan.properties.name,
            size: WaveSize,
          },
          { additionalProperties: false },
        ),
        { minItems: 1, maxItems: 32 },
      ),
    ),
  },
  { additionalProperties: false },
)
export type PlanRequest = Static<typeof PlanRequest>

export const waveDefaults = {
  /** Ten windows of a minute: long enough for a leak or a slow sensor to show, short enough for a working day. */
  soakMs: 600_000,
  /** As probation asks for (SPEC 6.5). */
  minSample: 20,
  successShare: 0.95,
  /** Devices sleep and travel: a day without an answer is ordinary, and such a device blocks nobody after it. */
  deadlineMs: 86_400_000,
  gates: [{ metric: 'error_rate', max: 0.02 }],
} as const satisfies Omit<WavePlan, 'name' | 'size' | 'gates'> & { gates: readonly GatePlan[] }

const carefulWaves: NonNullable<PlanRequest['waves']> = [
  { name: 'canary', size: { count: 1 } },
  { name: 'tenth', size: { percent: 10 } },
  { name: 'rest', size: { rest: true } },
]

export function planOf(request: PlanRequest): Plan {
  const { waves = carefulWaves, probation, ...rest } = request
  return {
    onFailure: 'pause',
    maxInFlight: 50,
    windowMs: 60_000,
    ...rest,
    probation: { ...defaultProbation, ...probation },
    waves: waves.map((wave) => ({ ...waveDefaults, gates: [...waveDefaults.gates], ...wave })),
  }
}

export type PlanMistake = { pointer: string; detail: string }

/** What the schema cannot say. All mistakes at once. */
export function mistakesOfPlan(value: Plan): PlanMistake[] {
  const read = plan.check(value)
  if (!read.ok) return [{ pointer: '#/plan', detail: read.detail }]
  const mistakes: PlanMistake[] = (value.installWindows ?? []).flatMap((text, i) => {
    const window = parseInstallWindow(text)
    return typeof window === 'string' ? [{ pointer: `#/plan/installWindows/${i}`, detail: window }] : []
  })
  const names = value.waves.map(({ name }) => name)
  let percent = 0
  value.waves.forEach((wave, i) => {
    const at = `#/plan/waves/${i}`
    if (names.indexOf(wave.name) !== i)
      mistakes.push({ pointer: `${at}/name`, detail: `${wave.name} stands twice` })
    if ('rest' in wave.size && i < value.waves.length - 1)
      mistakes.push({ pointer: `${at}/size`, detail: 'rest leaves nobody for the waves after it' })
    if ('percent' in wave.size) {
      if (wave.size.percent <= percent)
        mistakes.push({ pointer: `${at}/size`, detail: `percent must rise above ${percent}` })
      percent = Math.max(percent, wave.size.percent)
    }
    mistakes.push(...mistakesOfGates(wave.gates, `${at}/gates`))
  })
  return mistakes
}

/** A limit beyond the largest latency bucket could not be told from one that is kept. */
const p95MicrosMax = latencyBucketMicros[latencyBucketMicros.length - 1]!

function mistakesOfGates(gates: readonly GatePlan[], at: string): PlanMistake[] {
  return gates.flatMap(({ metric, max }, i) => {
    const found: PlanMistake[] = []
    const pointer = `${at}/${i}`
    if (gates.findIndex((gate) => gate.metric === metric) !== i)
      found.push({ pointer, detail: `two gates on ${metric}` })
    if (metric === 'error_rate' && max > 1)
      found.push({ pointer, detail: `an error rate lies in 0..1, not at ${max}` })
    if (metric === 'p95_micros' && max > p95MicrosMax)
      found.push({
        pointer,
        detail: `latency is measured up to ${p95MicrosMax} µs, so ${max} µs cannot be judged`,
      })
    return found
  })
}
