import type { Source } from '../meter.ts'

/** CodeCarbon's fallback; its own medians lie at 2.6 to 3.7 W per core and reach 10, hence x/÷ 3. */
const WATTS_PER_CORE = 4
const SIGMA_FACTOR = 3
const PERIOD_MS = 10

/**
 * The last resort, always there: every busy core draws the same. It knows nothing of idle power, so it charges none
 * rather than inventing it; the label says what that is worth.
 */
export const constant: Source = {
  name: 'constant',
  open: () => ({
    meter: {
      source: `constant ${WATTS_PER_CORE} W per busy core`,
      label: 'assumed',
      scope: 'cpu',
      sigmaFactor: SIGMA_FACTOR,
      periodMs: PERIOD_MS,
      idleWatts: 0,
      read: (load) => load && { kind: 'interval', watts: WATTS_PER_CORE * load.cores * load.busyShare },
    },
  }),
}
