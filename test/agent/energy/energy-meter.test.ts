import { EnergyMeter, type WindowEnergy } from '@godwit/agent/energy/energy-meter'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import { EnergyFigure } from '@godwit/protocol/messages/telemetry'
import { defineDocument } from '@godwit/protocol/schema'
import { describe, expect, test } from 'vitest'
import { type FakeTree, fakeTree } from './fake-sysfs.ts'

const railFile = '/sys/class/hwmon/hwmon0/power1_input'
const rail = (microwatts: number) => ({ '/sys/class/hwmon/hwmon0/name': 'ina260', [railFile]: microwatts })
const raplZone = '/sys/class/powercap/intel-rapl:0'
const wire = defineDocument('energy figure', EnergyFigure)

function total(figure: WindowEnergy): number {
  return figure.joules + figure.idleShareJoules + figure.unattributedJoules
}

/** Samples every second until `toMs`, the whole system busy for `busyShare` of four cores. */
function pass(meter: EnergyMeter, tree: FakeTree, fromMs: number, toMs: number, busyShare: number): void {
  for (let ms = fromMs + 1000; ms <= toMs; ms += 1000) {
    setCpu(tree, ms, busyShare)
    meter.sample(ms)
  }
}
function setCpu(tree: FakeTree, ms: number, busyShare: number): void {
  tree.cpu(ms * 4 * busyShare, ms * 4 * (1 - busyShare))
}

describe('with no sensor', () => {
  test('every busy core draws 4 W, said to be assumed', () => {
    const tree = fakeTree()
    setCpu(tree, 0, 0.5)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    pass(meter, tree, 0, 60_000, 0.5)
    const figure = meter.closeWindow(60_000, { runnerCpuMs: 30_000, inferences: 600 })
    // 60 s at half of four cores are 120 s of CPU at 4 W; the runner used 30 s of them.
    expect(figure).toMatchObject({
      label: 'assumed',
      scope: 'cpu',
      coverage: 1,
      sigmaFactor: 3,
      cpuMs: 30_000,
    })
    expect(figure.joules).toBeCloseTo(120, 9)
    expect(figure.unattributedJoules).toBeCloseTo(360, 9)
    expect(figure.idleShareJoules).toBe(0)
    expect(figure.powerWattsMean).toBeCloseTo(8, 9)
    expect(figure.joulesPerInference).toBeCloseTo(0.2, 9)
    expect(wire.check(JSON.parse(JSON.stringify(figure))).ok).toBe(true)
  })

  test('on this very machine a window comes out whole and labelled', () => {
    const meter = new EnergyMeter({ sysfs: rootedSysfs() })
    meter.start(0)
    meter.sample(1000)
    const figure = meter.closeWindow(2000, { runnerCpuMs: 0, inferences: 0 })
    expect(wire.check(figure)).toEqual({ ok: true, value: figure })
  })

  test('without CPU times there is no number, and coverage says so', () => {
    const meter = new EnergyMeter({ sysfs: fakeTree() })
    meter.start(0)
    meter.sample(1000)
    const figure = meter.closeWindow(2000, { runnerCpuMs: 500, inferences: 3 })
    expect(figure).toMatchObject({ coverage: 0, joules: 0 })
    expect(figure).not.toHaveProperty('powerWattsMean')
  })
})

describe('with a power rail', () => {
  test('a failed read costs coverage and never counts as 0 W', () => {
    const tree = fakeTree(rail(5_000_000))
    setCpu(tree, 0, 0.1)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    pass(meter, tree, 0, 4000, 0.1)
    tree.remove(railFile)
    pass(meter, tree, 4000, 5000, 0.1)
    tree.write(rail(5_000_000))
    pass(meter, tree, 5000, 10_000, 0.1)
    const figure = meter.closeWindow(10_000, { runnerCpuMs: 0, inferences: 0 })
    expect(figure.coverage).toBeCloseTo(0.8, 12)
    expect(total(figure)).toBeCloseTo(40, 9)
    expect(figure.powerWattsMean).toBeCloseTo(5, 12)
  })

  test('before idle is known the split is an assumption; after quiet minutes it is measured', () => {
    const tree = fakeTree(rail(2_000_000))
    setCpu(tree, 0, 0)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    pass(meter, tree, 0, 300_000, 0)
    expect(meter.closeWindow(300_000, { runnerCpuMs: 0, inferences: 0 })).toMatchObject({
      label: 'measured',
      idleBasis: 'quiet-minutes',
    })
    tree.write(rail(5_000_000))
    tree.cpu(60_000, 300_000 * 4)
    meter.start(300_000)
    for (let ms = 301_000; ms <= 360_000; ms += 1000) {
      tree.cpu(60_000 + (ms - 300_000), 300_000 * 4)
      meter.sample(ms)
    }
    const figure = meter.closeWindow(360_000, { runnerCpuMs: 60_000, inferences: 60 })
    expect(figure.joules).toBeCloseTo(180, 9)
    expect(figure.idleShareJoules).toBeCloseTo(120, 9)
    expect(figure.joulesPerInference).toBeCloseTo(3, 9)
    expect(figure.joulesPerInferenceWithIdle).toBeCloseTo(5, 9)

    meter.setState('another model')
    expect(meter.closeWindow(361_000, { runnerCpuMs: 0, inferences: 0 })).toMatchObject({
      label: 'assumed',
      idleBasis: 'none',
    })
  })

  test('idle from the board table makes a measured figure a modelled one', () => {
    const tree = fakeTree({ ...rail(5_000_000), '/proc/device-tree/model': 'Raspberry Pi 5 Model B Rev 1.0' })
    setCpu(tree, 0, 0.5)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    pass(meter, tree, 0, 10_000, 0.5)
    const figure = meter.closeWindow(10_000, { runnerCpuMs: 20_000, inferences: 0 })
    expect(figure).toMatchObject({ label: 'modelled', idleBasis: 'board-table' })
    expect(figure.joules).toBeCloseTo(22, 9)
  })

  test('a source silent for a whole window is replaced by the next best', () => {
    const tree = fakeTree(rail(5_000_000))
    setCpu(tree, 0, 0.25)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    tree.remove(railFile)
    pass(meter, tree, 0, 10_000, 0.25)
    expect(meter.closeWindow(10_000, { runnerCpuMs: 0, inferences: 0 }).coverage).toBe(0)
    pass(meter, tree, 10_000, 20_000, 0.25)
    const figure = meter.closeWindow(20_000, { runnerCpuMs: 10_000, inferences: 0 })
    expect(figure).toMatchObject({ coverage: 1, label: 'assumed' })
    expect(figure.joules).toBeCloseTo(40, 9)
  })
})

describe('with a counter', () => {
  const at = (joules: number) => ({
    [`${raplZone}/name`]: 'package-0',
    [`${raplZone}/max_energy_range_uj`]: 65_532_610_987,
    [`${raplZone}/energy_uj`]: Math.round(joules * 1e6),
  })

  test('energy runs through a wrap', () => {
    const tree = fakeTree(at(65_530))
    setCpu(tree, 0, 0.1)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    tree.write(at(2.389013))
    const figure = meter.closeWindow(1000, { runnerCpuMs: 0, inferences: 0 })
    expect(total(figure)).toBeCloseTo(5, 6)
    expect(figure.coverage).toBe(1)
  })

  test('windows that follow each other share their edge: nothing is lost or counted twice', () => {
    const tree = fakeTree(at(100))
    setCpu(tree, 0, 0.1)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    let sum = 0
    for (let window = 1; window <= 5; window++) {
      tree.write(at(100 + window * 7))
      sum += total(meter.closeWindow(window * 1000, { runnerCpuMs: 0, inferences: 0 }))
    }
    expect(sum).toBeCloseTo(35, 9)
  })

  test('energy across an edge where the read failed belongs to neither window', () => {
    const tree = fakeTree(at(100))
    setCpu(tree, 0, 0.1)
    const meter = new EnergyMeter({ sysfs: tree })
    meter.start(0)
    tree.write(at(105))
    meter.sample(1000)
    tree.remove(`${raplZone}/energy_uj`)
    const first = meter.closeWindow(2000, { runnerCpuMs: 0, inferences: 0 })
    tree.write(at(115))
    meter.sample(3000)
    tree.write(at(120))
    const second = meter.closeWindow(4000, { runnerCpuMs: 0, inferences: 0 })
    expect([total(first), first.coverage]).toEqual([5, 0.5])
    expect([total(second), second.coverage]).toEqual([5, 0.5])
  })
})

test('a sample before the start is a fault', () => {
  expect(() => new EnergyMeter({ sysfs: fakeTree() }).sample(0)).toThrow(/before start/)
})
