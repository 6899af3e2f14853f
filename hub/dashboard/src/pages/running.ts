import { useInfiniteQuery } from '@tanstack/react-query'
import { ask } from '../queries.ts'
import { nameOf, slotsOf } from '../view/device.ts'

export type Running = {
  versions: { model: string; version: string; devices: number }[]
  /** Devices looked at, and whether there are more. */
  looked: number
  isPart: boolean
}

/** How many devices run which version, counted from the first page of devices where the hub does not count itself. */
export function useRunning(enabled = true): Running | undefined {
  const devices = useInfiniteQuery({ ...ask.devices(''), enabled })
  const page = devices.data?.pages[0]
  if (!enabled || !page) return undefined
  const counted = new Map<string, Running['versions'][number]>()
  for (const { active } of page.items.flatMap(slotsOf)) {
    if (!active) continue
    const { model, version } = active
    const before = counted.get(nameOf(active))?.devices ?? 0
    counted.set(nameOf(active), { model, version, devices: before + 1 })
  }
  return { versions: [...counted.values()], looked: page.items.length, isPart: Boolean(page.nextCursor) }
}
