import { benchEnergy, benchMeter } from '@godwit/agent/control/variants/bench-energy'
import { describe, expect, test } from 'vitest'
import { fakeTree } from '../../energy/fake-sysfs.ts'

const domain = '/sys/class/powercap/intel-rapl:0'
const rapl = {
  [`${domain}/name`]: 'package-0',
  [`${domain}/energy_uj`]: 0,
  [`${domain}/max_energy_range_uj`]: 262_143_328_850,
}

describe('energy of one inference', () => {
  test('is what the meter saw above the rest before it, over the inferences', async () => {
    const tree = fakeTree(rapl)
    tree.cpu(0, 0)
    // One second in which the clock says ten and the meter 20 J: at rest it draws 2 W.
    let nowMs = 0
    let joules = 0
    const pass = (ms: number, watts: number) => {
      nowMs += ms
      joules += (watts * ms) / 1_000
      tree.write({ [`${domain}/energy_uj`]: Math.round(joules * 1e6) })
    }
    const resting = setInterval(() => pass(1_000, 2), 90)
    const found = await benchEnergy(
      benchMeter(tree)!,
      tree,
      () => nowMs,
      async (durationMs) => {
        clearInterval(resting)
        pass(durationMs, 5)
        return { count: 1_000 }
      },
    )
    // 3 W above rest, for 2 s, over a thousand.
    expect(found).toEqual({
      energyMicrojoules: 6_000,
      energyLabel: 'measured',
      energySource: 'rapl package-0',
    })
  })

  test('is not told when the meter fails in between', async () => {
    const tree = fakeTree(rapl)
    tree.cpu(0, 0)
    const found = await benchEnergy(
      benchMeter(tree)!,
      tree,
      () => performance.now(),
      async () => {
        tree.remove(`${domain}/energy_uj`)
        return { count: 10 }
      },
    )
    expect(found).toBeUndefined()
  })

  test('is not looked for where there is nothing but an assumption', () => {
    const tree = fakeTree()
    tree.cpu(0, 0)
    expect(benchMeter(tree)).toBeUndefined()
  })
})
