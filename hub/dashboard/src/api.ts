/**
 * What the dashboard reads of the hub's API. A field that may be missing is optional here, and a missing figure is shown
 * as "–", never as 0. Fields that the hub adds are of no harm.
 */
import { get, getText, post, send } from './http.ts'

export type Maybe<T> = T | null | undefined
/** RFC 3339, or epoch milliseconds where a device's signed document is passed on as it is. */
export type Time = string | number
export type Page<T> = { items: T[]; nextCursor?: Maybe<string> }

export const roles = ['viewer', 'operator', 'publisher', 'approver', 'admin'] as const
export type Role = (typeof roles)[number]
export type User = {
  id: string
  name: string
  roles: Role[]
  hasPassword?: boolean
  oidcIssuer?: Maybe<string>
  createdAt?: Maybe<Time>
  lastLoginAt?: Maybe<Time>
  disabledAt?: Maybe<Time>
}
export type Session = { who: string; roles: Role[]; kind?: string; user?: Maybe<User> }
export type LoginWays = { password?: boolean; oidc?: Maybe<{ label: string }> }
export type Invited = { name: string; roles: Role[]; passwordLengthMin: number }
/** Asks to be let in without a token; somebody compares the fingerprint with the one on the device. */
export type PendingDevice = {
  fingerprint: string
  wantedId?: Maybe<string>
  address?: Maybe<string>
  firstAt: Time
  lastAt: Time
  rejectedAt?: Maybe<Time>
}
export type Invitation = { url: string; expiresAt: Time }
export type BrowserSession = { id: string; startedAt: Time; expiresAt: Time; isThis?: Maybe<boolean> }
export type ApiToken = {
  id: string
  name: string
  roles: Role[]
  scopes?: Maybe<string[]>
  userId?: Maybe<string>
  /** Whose it is; absent: a program's. */
  owner?: Maybe<string>
  createdAt: Time
  expiresAt?: Maybe<Time>
  revokedAt?: Maybe<Time>
  lastUsedAt?: Maybe<Time>
}

/** What the hub will say too; asked here so that nobody is shown what they may not do. */
export function may(session: Session | undefined, role: Role): boolean {
  return session?.roles?.some((held) => held === role || held === 'admin') ?? false
}

export type CarbonFactor = {
  zone: string
  gramsPerKilowattHour: number
  type?: Maybe<string>
  basis?: Maybe<string>
  year?: Maybe<number>
  source?: Maybe<string>
}

export type Energy = {
  /** Above idle. */
  joules?: Maybe<number>
  idleShareJoules?: Maybe<number>
  unattributedJoules?: Maybe<number>
  grams?: Maybe<number>
  /** Of the joules. */
  label?: Maybe<string>
  gramsLabel?: Maybe<string>
  /** 0..1 */
  coverage?: Maybe<number>
  sigmaFactor?: Maybe<number>
  source?: Maybe<string>
  sources?: Maybe<string[]>
  inferences?: Maybe<number>
  windows?: Maybe<number>
  windowMs?: Maybe<number>
  factor?: Maybe<CarbonFactor>
  factors?: Maybe<CarbonFactor[]>
}

export type EnergyGroup = Energy & {
  deviceId?: Maybe<string>
  model?: Maybe<string>
  version?: Maybe<string>
}
export type EnergyGrouping = 'model' | 'version' | 'device'
export type EnergyReport = Page<EnergyGroup> & { total?: Maybe<Energy>; factor?: Maybe<CarbonFactor> }

export type Attention = { severity: string; text: string; link?: Maybe<string> }
export type Overview = {
  fleet: string
  devices: {
    total: number
    online?: Maybe<number>
    sleeping?: Maybe<number>
    offline?: Maybe<number>
    drifting?: Maybe<number>
    failed?: Maybe<number>
  }
  rollouts?: Maybe<{ active?: Maybe<number> }>
  energy?: Maybe<Energy>
  telemetry?: Maybe<{
    windows?: Maybe<number>
    events?: Maybe<number>
    missing?: Maybe<number>
    dropped?: Maybe<number>
    duplicates?: Maybe<number>
  }>
  attention: Attention[]
  /** Devices per version that runs somewhere. */
  versions?: Maybe<{ model: string; version: string; devices: number }[]>
}

export type ReleaseRef = { model: string; version: string; releaseDigest?: Maybe<string> }
export type ActiveRelease = ReleaseRef & {
  variant?: Maybe<string>
  since?: Maybe<Time>
  executionProvider?: Maybe<string>
  loadedDigest?: Maybe<string>
  proof?: Maybe<string>
  choice?: Maybe<Choice>
}
/** Which variant serves and why, with the figures of all that the device tried. */
export type Choice = { by: string; why: string; at?: Maybe<Time>; trials?: Maybe<Trial[]> }
export type Trial = {
  variant: string
  executionProvider: string
  code: string
  detail?: Maybe<string>
  nodes?: Maybe<Record<string, number>>
  p50Micros?: Maybe<number>
  p95Micros?: Maybe<number>
  memoryBytes?: Maybe<number>
  cpuMicros?: Maybe<number>
  energyMicrojoules?: Maybe<number>
  energyLabel?: Maybe<string>
}
export type SlotReport = {
  phase: string
  target?: Maybe<ReleaseRef>
  active?: Maybe<ActiveRelease>
  lastKnownGood?: Maybe<ReleaseRef>
  attempt?: Maybe<number>
  code?: Maybe<string>
  detail?: Maybe<string>
  answered?: Maybe<number>
}

export type FeatureVerdict = {
  feature: string
  state: string
  evidence?: Maybe<number>
  peak?: Maybe<number>
  lead?: Maybe<{ statistic: string; direction: string }>
  certified?: Maybe<boolean>
}
/** Of one device, slot and release. */
/** The worst ones; `now` counts all verdicts on what runs now. */
export type DriftList = Page<DriftVerdict> & { now?: Maybe<DriftWords> }
export type DriftWords = { alarm: number; quiet: number; 'not-enough-data': number }
export type DriftVerdict = {
  deviceId?: Maybe<string>
  slot?: Maybe<string>
  model?: Maybe<string>
  version?: Maybe<string>
  releaseDigest?: Maybe<string>
  state: string
  evidence?: Maybe<number>
  peak?: Maybe<number>
  threshold?: Maybe<number>
  windows?: Maybe<number>
  windowsNeeded?: Maybe<number>
  falseAlarmAtMost?: Maybe<number>
  features?: Maybe<FeatureVerdict[]>
  /** Whether the device still runs this release; absent: nobody said. */
  isRunning?: Maybe<boolean>
  updatedAt?: Maybe<Time>
}

export type Device = {
  id: string
  labels: Record<string, string>
  status: string
  lastSeenAt?: Maybe<Time>
  enrolledAt?: Maybe<Time>
  /** Of its key, as `godwit-agent identity` shows it on the device. */
  fingerprint?: Maybe<string>
  revokedAt?: Maybe<Time>
  directiveVersion?: Maybe<number>
  birth?: Maybe<{
    agentVersion?: Maybe<string>
    hardware?: Maybe<{ model?: string; arch?: string; os?: string; cores?: number; memoryBytes?: number }>
    runtime?: Maybe<{ name?: string; version?: string; executionProviders?: string[] }>
  }>
  report?: Maybe<{
    at?: Maybe<Time>
    directiveVersion?: Maybe<number>
    slots: Record<string, SlotReport>
    quarantine?: Maybe<string[]>
    free?: Maybe<{ diskBytes?: Maybe<number>; memoryBytes?: Maybe<number> }>
    clock?: Maybe<{ skewMs?: Maybe<number> }>
  }>
  goals?: Maybe<Record<string, ReleaseRef>>
  drift?: Maybe<DriftVerdict[]>
  energy?: Maybe<Energy>
}

export type TelemetryWindow = {
  session?: Maybe<string>
  seq?: Maybe<number>
  slot?: Maybe<string>
  model?: Maybe<string>
  version?: Maybe<string>
  start?: Maybe<Time>
  end?: Maybe<Time>
  inferences?: Maybe<number>
  errors?: Maybe<number>
  anomalies?: Maybe<number>
  /** Inputs that came too fast to become readings. */
  dropped?: Maybe<number>
  /** Of the readings, those that programs on the device asked for. */
  requests?: Maybe<number>
  /** Upper bound of a latency bucket; beyond the last of them: 1,000,001. */
  p95Micros?: Maybe<number>
  energy?: Maybe<Energy>
}

/** Numbers that are not here, both ends included, and why: a word for programs, and one for people. */
export type Gap = {
  first: number
  last: number
  reason?: Maybe<string>
  because?: Maybe<string>
  /** Slots whose windows these were, by the time between their neighbours. */
  slots?: Maybe<{ slot: string; from?: Maybe<Time>; to?: Maybe<Time> }[]>
}
/** What is stored, what is missing and why, in a sentence and range by range. */
export type Completeness = Page<StreamCompleteness> & {
  sentence?: Maybe<string>
  /** What the device last said of its own spool. */
  spool?: Maybe<{ at: Time; records: number; bytes: number }>
  /** Its disk took nothing: what was lost then has no number, so that no range tells of it. */
  outages?: Maybe<{ at: Time; slot?: Maybe<string>; windowsDropped: number; eventsDropped: number }[]>
}
export type StreamCompleteness = {
  session: string
  stream: string
  contiguous?: Maybe<number>
  highest?: Maybe<number>
  stored?: Maybe<number>
  duplicates?: Maybe<number>
  rejected?: Maybe<number>
  dropped?: Maybe<Gap[]>
  missing?: Maybe<Gap[]>
  forgotten?: Maybe<number>
}

export type EventChoice = { deviceId?: string; kind?: string; except?: string }
export type TelemetryEvent = {
  deviceId?: Maybe<string>
  session?: Maybe<string>
  seq?: Maybe<number>
  at?: Maybe<Time>
  kind: string
  severity?: Maybe<string>
  slot?: Maybe<string>
  detail?: Maybe<Record<string, string | number | boolean>>
}

export type GateState = {
  name: string
  state: string
  value?: Maybe<number>
  threshold?: Maybe<number>
  op?: Maybe<string>
  /** Devices that the value rests on, of those that it should rest on. */
  n?: Maybe<number>
  of?: Maybe<number>
  sentence?: Maybe<string>
}
export type Wave = {
  name: string
  state: string
  since?: Maybe<Time>
  counts?: Maybe<Record<string, number>>
  gates?: Maybe<GateState[]>
}
export type Person = { id: string; name: string }
export type GivenApproval = {
  user: Person
  /** Null: the rollout as a whole. */
  wave?: Maybe<string>
  sha256: string
  at: Time
  reason?: Maybe<string>
}
export type ApprovalDeed = 'approve' | 'reject' | 'withdraw'
/** What is up for approval now, and what this session may do about it. */
export type ApprovalQuestion = {
  wave?: Maybe<string>
  sha256: string
  needed: number
  missing: number
  given: GivenApproval[]
  couldApprove: Person[]
  allowedDeeds: string[]
}
export type RolloutAction = 'start' | 'pause' | 'resume' | 'abort' | 'rollback' | 'retry'
export type Rollout = {
  id: string
  model: string
  version: string
  releaseDigest?: Maybe<string>
  slot?: Maybe<string>
  phase: string
  sentence?: Maybe<string>
  waves?: Maybe<Wave[]>
  allowedActions?: Maybe<string[]>
  approval?: Maybe<ApprovalQuestion>
  approvals?: Maybe<GivenApproval[]>
  plan?: Maybe<unknown>
  selector?: Maybe<string>
  createdAt?: Maybe<Time>
  createdBy?: Maybe<string>
  updatedAt?: Maybe<Time>
}
export type RolloutDevice = {
  deviceId: string
  wave?: Maybe<number | string>
  state: string
  code?: Maybe<string>
  detail?: Maybe<string>
  directiveVersion?: Maybe<number>
  previous?: Maybe<ReleaseRef>
  updatedAt?: Maybe<Time>
}
export type RolloutEvent = {
  id?: Maybe<number>
  at: Time
  kind: string
  who?: Maybe<string>
  message: string
}

export type ModelVersion = {
  model?: Maybe<string>
  version: string
  releaseDigest?: Maybe<string>
  releaseCounter?: Maybe<number>
  /** All files of the bundle. */
  sizeBytes?: Maybe<number>
  createdAt?: Maybe<Time>
  createdBy?: Maybe<string>
  listed?: Maybe<boolean>
  listedAt?: Maybe<Time>
  delistedAt?: Maybe<Time>
  /** Ids, or how many. */
  devices?: Maybe<string[] | number>
  release?: Maybe<Release>
}
export type Model = {
  name: string
  description?: Maybe<string>
  createdAt?: Maybe<Time>
  versions?: Maybe<ModelVersion[]>
  aliases?: Maybe<Record<string, string>>
}

export type Tensor = { name: string; dtype: string; shape: (number | string)[] }
export type Release = {
  note?: Maybe<string>
  createdAt?: Maybe<Time>
  files?: Maybe<Record<string, { sha256: string; sizeBytes: number }>>
  variants?: Maybe<{ name: string; file: string; executionProviders?: string[]; precision?: string }[]>
  io?: Maybe<{ inputs: Tensor[]; outputs: Tensor[] }>
  golden?: Maybe<string>
  pipeline?: Maybe<string>
  profile?: Maybe<string>
  card?: Maybe<string>
  requires?: Maybe<{ opset?: Record<string, number>; memoryBytes?: number; arch?: string[] }>
  promises?: Maybe<{ p95Micros?: number; memoryBytes?: number; energyMillijoules?: number }>
  provenance?: Maybe<{
    trainer?: string
    commit?: string
    parent?: string
    dataset?: { name: string; sha256: string }[]
  }>
}

const name = encodeURIComponent
const base = '/api/v1'
const query = (values: Record<string, Maybe<string | number>>): string => {
  const given = Object.entries(values).filter(
    ([, value]) => value !== undefined && value !== null && value !== '',
  )
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString()
  return text && `?${text}`
}

export const api = {
  session: (signal?: AbortSignal) => get<Session>(`${base}/session`, signal),
  loginWays: (signal?: AbortSignal) => get<LoginWays>(`${base}/session/ways`, signal),
  login: (name: string, password: string) => post(`${base}/session`, { name, password }),
  logout: () => send<void>('DELETE', `${base}/session`),
  invitation: (link: string) => send<Invited>('POST', `${base}/session/invitation`, { link }),
  acceptInvitation: (link: string, password: string) =>
    post(`${base}/session/invitation/accept`, { link, password }),
  changePassword: (old: string, next: string) => send<void>('PUT', `${base}/session/password`, { old, next }),
  sessions: (signal?: AbortSignal) => get<Page<BrowserSession>>(`${base}/session/others`, signal),
  endSession: (id: string) => send<void>('DELETE', `${base}/session/others/${name(id)}`),
  makeAccount: (userName: string, password: string) =>
    post(`${base}/session/account`, { name: userName, password }),
  endOtherSessions: () => send<{ ended: number }>('DELETE', `${base}/session/others`),
  users: (signal?: AbortSignal) => get<Page<User>>(`${base}/users`, signal),
  createUser: (userName: string, given: Role[]) =>
    send<User & { invitation: Invitation }>('POST', `${base}/users`, { name: userName, roles: given }),
  invite: (userName: string) => send<Invitation>('POST', `${base}/users/${name(userName)}/invite`),
  setRoles: (userName: string, given: Role[]) =>
    send<User>('PUT', `${base}/users/${name(userName)}/roles`, { roles: given }),
  setDisabled: (userName: string, disabled: boolean) =>
    send<User>('POST', `${base}/users/${name(userName)}/${disabled ? 'disable' : 'enable'}`),
  tokens: (signal?: AbortSignal) => get<Page<ApiToken>>(`${base}/tokens`, signal),
  createToken: (
    wish: { name: string; roles: Role[]; scopes?: string[]; ofProgram?: boolean },
    days: number,
  ) =>
    send<ApiToken & { token: string }>('POST', `${base}/tokens`, {
      ...wish,
      expiresInMs: Math.round(days * 86_400_000),
    }),
  revokeToken: (id: string) => send<void>('DELETE', `${base}/tokens/${name(id)}`),
  overview: (signal?: AbortSignal) => get<Overview>(`${base}/overview`, signal),
  devices: (select: string, cursor: Maybe<string>, signal?: AbortSignal) =>
    get<Page<Device>>(`${base}/devices${query({ select, limit: 100, cursor })}`, signal),
  pendingDevices: (signal?: AbortSignal) => get<Page<PendingDevice>>(`${base}/pending-devices`, signal),
  approveDevice: (fingerprint: string, deviceId: string, labels: Record<string, string>) =>
    send<{ deviceId: string }>('POST', `${base}/pending-devices/${fingerprint.replaceAll(' ', '')}/approve`, {
      ...(deviceId !== '' && { deviceId }),
      labels,
    }),
  rejectDevice: (fingerprint: string) =>
    send<void>('POST', `${base}/pending-devices/${fingerprint.replaceAll(' ', '')}/reject`),
  device: (id: string, signal?: AbortSignal) => get<Device>(`${base}/devices/${name(id)}`, signal),
  windows: (id: string, signal?: AbortSignal) =>
    get<Page<TelemetryWindow>>(`${base}/devices/${name(id)}/windows${query({ limit: 120 })}`, signal),
  completeness: (id: string, signal?: AbortSignal) =>
    get<Completeness>(`${base}/devices/${name(id)}/completeness`, signal),
  events: (of: EventChoice, limit: number, signal?: AbortSignal) =>
    get<Page<TelemetryEvent>>(`${base}/telemetry/events${query({ ...of, limit })}`, signal),
  drift: (signal?: AbortSignal) => get<DriftList>(`${base}/drift`, signal),
  energy: (groupBy: EnergyGrouping, signal?: AbortSignal) =>
    get<EnergyReport>(`${base}/energy${query({ groupBy })}`, signal),
  rollouts: (signal?: AbortSignal) => get<Page<Rollout>>(`${base}/rollouts`, signal),
  rollout: (id: string, signal?: AbortSignal) => get<Rollout>(`${base}/rollouts/${name(id)}`, signal),
  rolloutDevices: (id: string, signal?: AbortSignal) =>
    get<Page<RolloutDevice>>(`${base}/rollouts/${name(id)}/devices`, signal),
  rolloutEvents: (id: string, cursor: Maybe<string>, signal?: AbortSignal) =>
    get<Page<RolloutEvent>>(`${base}/rollouts/${name(id)}/events${query({ limit: 50, cursor })}`, signal),
  act: (id: string, action: RolloutAction, reason: string) =>
    post(`${base}/rollouts/${name(id)}/${action}`, { reason }),
  decide: (id: string, deed: ApprovalDeed, reason: string, sha256: string) =>
    post(`${base}/rollouts/${name(id)}/${deed}`, { reason, sha256 }),
  /** Whose bytes have the hash that is approved. */
  approvalSubject: (id: string, wave: Maybe<string>) =>
    `${base}/rollouts/${name(id)}/approval${query({ wave })}`,
  models: (signal?: AbortSignal) => get<Page<Model>>(`${base}/models`, signal),
  model: (model: string, signal?: AbortSignal) => get<Model>(`${base}/models/${name(model)}`, signal),
  version: (model: string, version: string, signal?: AbortSignal) =>
    get<ModelVersion>(`${base}/models/${name(model)}/versions/${name(version)}`, signal),
  blobText: (sha256: string, signal?: AbortSignal) => getText(`/blobs/sha256/${name(sha256)}`, signal),
}
