import { uuidv7 } from 'uuidv7'
import type { Part, Services } from '../services.ts'
import { RolloutEngine } from './engine.ts'

declare module '../services.ts' {
  interface Services {
    rollouts: RolloutEngine
  }
}

/** Deadlines and soaks are minutes to days; a second is soon enough for all of them and shows as live. */
const tickMs = 1_000

export function rolloutPart(services: Services): Part {
  const engine = new RolloutEngine(services, uuidv7, () => services.access.approvers())
  services.rollouts = engine
  const failed = (error: unknown) => services.log.error({ err: error }, 'rollout engine failed')
  let timer: NodeJS.Timeout | undefined
  let silence = () => {}
  let isTicking = false
  return {
    name: 'rollouts',
    async start() {
      await engine.load()
      silence = services.fleet.onNews((deviceId, news) => {
        if (news === 'report') engine.heard(deviceId).catch(failed)
        if (news === 'revoked') engine.revoked(deviceId).catch(failed)
      })
      timer = setInterval(() => {
        if (isTicking) return
        isTicking = true
        engine
          .tick()
          .catch(failed)
          .finally(() => {
            isTicking = false
          })
      }, tickMs)
    },
    async stop() {
      clearInterval(timer)
      silence()
      await engine.idle()
    },
  }
}
