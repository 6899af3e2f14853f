import type { Part, Services } from './services.ts'
import { forgetBefore } from './telemetry/retention.ts'

/** Often enough for metadata that lives a minute, which is the shortest that a config may ask for. */
const everyMs = 15_000
/** It looks at every stream of every device, and retention is a matter of days. */
const forgetEveryMs = 3_600_000

/** Signs again what would expire, and forgets what is old. */
export function housekeepingPart({
  audit,
  clock,
  config,
  database,
  directives,
  feed,
  log,
  repository,
}: Services): Part {
  let timer: NodeJS.Timeout | undefined
  let work = Promise.resolve()
  let forgottenAt = Number.NEGATIVE_INFINITY

  async function tidy({ atStart = false } = {}): Promise<void> {
    const now = clock()
    // Beyond what devices have seen even if this hub comes from a backup: waiting for half the life of what it holds
    // would have them refuse it for hours.
    await repository.refresh(now, { anyway: atStart })
    const reissued = await directives.reissueExpiring(now)
    if (reissued > 0) log.info({ reissued }, 'signed directives again before their end')
    await audit.checkpointIfDue(now)
    await feed.prune(now - config.feed.retentionMs)
    if (now - forgottenAt < forgetEveryMs) return
    forgottenAt = now
    const forgotten = await forgetBefore(database, now - config.telemetry.retentionMs)
    if (forgotten > 0) log.info({ forgotten }, 'forgot telemetry that has outlived its retention')
  }

  return {
    name: 'housekeeping',
    async start() {
      await tidy({ atStart: true })
      timer = setInterval(() => {
        work = work
          .then(() => tidy())
          .catch((err) => log.error({ err }, 'housekeeping failed; tried again soon'))
      }, everyMs)
    },
    async stop() {
      clearInterval(timer)
      await work
    },
  }
}
