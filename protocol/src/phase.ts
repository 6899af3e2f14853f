/** One device's deployment, in the order it lives them (SPEC 6.2). The agent's table decides the moves. */
export const phases = [
  'idle',
  'assigned',
  'checking',
  'downloading',
  'verified',
  'staged',
  'self_testing',
  'activating',
  'probation',
  'committed',
  'rolling_back',
  'rolled_back',
  'refused',
] as const
export type Phase = (typeof phases)[number]
