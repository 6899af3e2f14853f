import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { api, type EnergyGrouping, type EventChoice } from './api.ts'

/** Every question the dashboard asks, with the key that `live.ts` calls it by when there is news. */
export const ask = {
  session: queryOptions({
    queryKey: ['session'],
    queryFn: ({ signal }) => api.session(signal),
    retry: false,
  }),
  loginWays: queryOptions({
    queryKey: ['login-ways'],
    queryFn: ({ signal }) => api.loginWays(signal),
    staleTime: Number.POSITIVE_INFINITY,
  }),
  sessions: queryOptions({ queryKey: ['sessions'], queryFn: ({ signal }) => api.sessions(signal) }),
  users: queryOptions({ queryKey: ['users'], queryFn: ({ signal }) => api.users(signal) }),
  tokens: queryOptions({ queryKey: ['tokens'], queryFn: ({ signal }) => api.tokens(signal) }),
  overview: queryOptions({ queryKey: ['overview'], queryFn: ({ signal }) => api.overview(signal) }),
  devices: (select: string) =>
    infiniteQueryOptions({
      queryKey: ['devices', select],
      queryFn: ({ pageParam, signal }) => api.devices(select, pageParam, signal),
      initialPageParam: null as string | null,
      getNextPageParam: (page) => page.nextCursor,
    }),
  pendingDevices: queryOptions({
    queryKey: ['pending-devices'],
    queryFn: ({ signal }) => api.pendingDevices(signal),
  }),
  device: (id: string) =>
    queryOptions({ queryKey: ['device', id], queryFn: ({ signal }) => api.device(id, signal) }),
  windows: (id: string) =>
    queryOptions({ queryKey: ['windows', id], queryFn: ({ signal }) => api.windows(id, signal) }),
  completeness: (id: string) =>
    queryOptions({ queryKey: ['completeness', id], queryFn: ({ signal }) => api.completeness(id, signal) }),
  events: (of: EventChoice, limit: number) =>
    queryOptions({
      queryKey: ['events', of.deviceId ?? '', of, limit],
      queryFn: ({ signal }) => api.events(of, limit, signal),
    }),
  drift: queryOptions({ queryKey: ['drift'], queryFn: ({ signal }) => api.drift(signal) }),
  energy: (by: EnergyGrouping) =>
    queryOptions({ queryKey: ['energy', by], queryFn: ({ signal }) => api.energy(by, signal) }),
  rollouts: queryOptions({ queryKey: ['rollouts'], queryFn: ({ signal }) => api.rollouts(signal) }),
  rollout: (id: string) =>
    queryOptions({ queryKey: ['rollout', id], queryFn: ({ signal }) => api.rollout(id, signal) }),
  rolloutDevices: (id: string) =>
    queryOptions({
      queryKey: ['rollout', id, 'devices'],
      queryFn: ({ signal }) => api.rolloutDevices(id, signal),
    }),
  rolloutEvents: (id: string) =>
    infiniteQueryOptions({
      queryKey: ['rollout', id, 'events'],
      queryFn: ({ pageParam, signal }) => api.rolloutEvents(id, pageParam, signal),
      initialPageParam: null as string | null,
      getNextPageParam: (page) => page.nextCursor,
    }),
  models: queryOptions({ queryKey: ['models'], queryFn: ({ signal }) => api.models(signal) }),
  model: (model: string) =>
    queryOptions({ queryKey: ['model', model], queryFn: ({ signal }) => api.model(model, signal) }),
  version: (model: string, version: string) =>
    queryOptions({
      queryKey: ['model', model, version],
      queryFn: ({ signal }) => api.version(model, version, signal),
    }),
  /** Named by its digest, so it never goes stale. */
  blob: (sha256: string) =>
    queryOptions({
      queryKey: ['blob', sha256],
      queryFn: ({ signal }) => api.blobText(sha256, signal),
      staleTime: Number.POSITIVE_INFINITY,
    }),
}
