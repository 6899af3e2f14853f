import { segmentLengthMax } from './limits.ts'

/** Topic names are built and parsed here and spelled nowhere else (SPEC 2). */
const prefix = 'godwit/1'
const segment = `[A-Za-z0-9_-]{1,${segmentLengthMax}}`

export const streams = ['event', 'window', 'health'] as const
/** In order of priority: when the spool is full, the last class is dropped first (SPEC 7.5). */
export type Stream = (typeof streams)[number]

export const topics = {
  hub: (fleet: string) => `${prefix}/${fleet}/hub`,
  /** Every version but the timestamp's has a topic of its own, so that a version once seen never changes. */
  meta: (fleet: string, role: string, version?: number) =>
    `${prefix}/${fleet}/meta/${role}${version === undefined ? '' : `/${version}`}`,
  metaAll: (fleet: string) => `${prefix}/${fleet}/meta/#`,
  /** Few and small, and the next one is what a device cannot know by name whether it is there. */
  metaRoots: (fleet: string) => `${prefix}/${fleet}/meta/root/+`,
  block: (fleet: string, sha256: string) => `${prefix}/${fleet}/b/${sha256}`,
  state: (fleet: string, device: string) => up(fleet, device, 'state'),
  birth: (fleet: string, device: string) => up(fleet, device, 'birth'),
  reported: (fleet: string, device: string) => up(fleet, device, 'reported'),
  progress: (fleet: string, device: string) => up(fleet, device, 'progress'),
  telemetry: (fleet: string, device: string, stream: Stream) => up(fleet, device, `t/${stream}`),
  blockRequest: (fleet: string, device: string) => up(fleet, device, 'blob/req'),
  downAll: (fleet: string, device: string) => `${prefix}/${fleet}/d/${device}/dn/#`,
  desired: (fleet: string, device: string) => down(fleet, device, 'desired'),
  ack: (fleet: string, device: string) => down(fleet, device, 'ack'),
  blockRefusal: (fleet: string, device: string) => down(fleet, device, 'blob/refused'),
} as const

function up(fleet: string, device: string, rest: string): string {
  return `${prefix}/${fleet}/d/${device}/up/${rest}`
}

function down(fleet: string, device: string, rest: string): string {
  return `${prefix}/${fleet}/d/${device}/dn/${rest}`
}

export type UpKind = 'state' | 'birth' | 'reported' | 'progress' | 'telemetry' | 'block-request'
export type UpTopic = { fleet: string; device: string; kind: UpKind; stream?: Stream }

const upPattern = new RegExp(`^${prefix}/(${segment})/d/(${segment})/up/(.+)$`)
/** No plain object: `up/constructor` would find something in it. */
const upKinds = new Map<string, UpKind>([
  ['state', 'state'],
  ['birth', 'birth'],
  ['reported', 'reported'],
  ['progress', 'progress'],
  ['blob/req', 'block-request'],
])

/** Undefined for any topic that no device has a reason to publish on; the hub refuses those. */
export function parseUpTopic(topic: string): UpTopic | undefined {
  const match = upPattern.exec(topic)
  if (!match) return undefined
  const [fleet, device, rest] = [match[1]!, match[2]!, match[3]!]
  const kind = upKinds.get(rest)
  if (kind) return { fleet, device, kind }
  const stream = streams.find((s) => rest === `t/${s}`)
  return stream ? { fleet, device, kind: 'telemetry', stream } : undefined
}

const blockPattern = new RegExp(`^${prefix}/${segment}/b/([0-9a-f]{64})$`)

export function parseBlockTopic(topic: string): string | undefined {
  return blockPattern.exec(topic)?.[1]
}

const metaPattern = new RegExp(`^${prefix}/${segment}/meta/(${segment})(?:/([1-9][0-9]{0,8}))?$`)

export function parseMetaTopic(topic: string): { role: string; version?: number } | undefined {
  const match = metaPattern.exec(topic)
  if (!match) return undefined
  return match[2] === undefined ? { role: match[1]! } : { role: match[1]!, version: Number(match[2]) }
}

export type Access = 'publish' | 'subscribe'

/**
 * May this device do this? One line per direction, so that any broker's ACL can say the same (SPEC 2.4).
 * Wildcards on block topics are refused: a device sees the blocks whose digests it knows.
 */
export function deviceMay(fleet: string, device: string, access: Access, topic: string): boolean {
  if (access === 'publish') {
    const parsed = parseUpTopic(topic)
    return parsed !== undefined && parsed.fleet === fleet && parsed.device === device
  }
  if ([topics.hub(fleet), topics.metaAll(fleet), topics.metaRoots(fleet)].includes(topic)) return true
  if (topic === topics.downAll(fleet, device)) return true
  const meta = topic.startsWith(`${prefix}/${fleet}/meta/`) && parseMetaTopic(topic) !== undefined
  if (meta) return true
  if (topic.startsWith(down(fleet, device, '')) && !/[+#]/.test(topic)) return true
  return topic.startsWith(topics.block(fleet, '')) && parseBlockTopic(topic) !== undefined
}
