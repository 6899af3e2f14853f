import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'
import type { Figure } from './main.ts'

const swaps = 6

/**
 * A device that reads 200 times a second, a real hub, and one release after the other: readings that no window has
 * counted as answered, whether they failed or were lost between two models.
 */
export async function benchSwap(): Promise<Record<string, Figure>> {
  const box = await FleetInABox.open()
  try {
    const device = await box.addDevice(1)
    for (let version = 1; version <= swaps + 1; version++) {
      await box.publish(String(version))
      await box.inPhase(await box.rollout(String(version), allAtOnce), 'completed')
    }
    const { counted, read } = await eventually('both accounts of one moment', async () => {
      const readings = await box.readings(device)
      return readings.read > 0 ? readings : undefined
    })
    const windows = await box.observe.windows(device.id)
    const errors = windows.reduce((sum, window) => sum + window.errors, 0)
    return {
      'swap.failedInferences': {
        value: Math.abs(read - counted) + errors,
        unit: 'inferences',
        baseline: `${swaps} swaps, ${read} readings`,
      },
    }
  } finally {
    await box.close()
  }
}
