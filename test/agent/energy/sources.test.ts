import type { Meter, Opened } from '@godwit/agent/energy/meter'
import { probe } from '@godwit/agent/energy/probe'
import { battery } from '@godwit/agent/energy/sources/battery'
import { board } from '@godwit/agent/energy/sources/board'
import { boards } from '@godwit/agent/energy/sources/board-table'
import { hwmon } from '@godwit/agent/energy/sources/hwmon'
import { ina } from '@godwit/agent/energy/sources/ina'
import { rapl } from '@godwit/agent/energy/sources/rapl'
import { describe, expect, test } from 'vitest'
import { fakeTree } from './fake-sysfs.ts'
import { vectors } from './vectors.ts'

function opened(result: Opened): Meter {
  if ('because' in result) throw new Error(result.because)
  return result.meter
}
const idleLoad = { busyShare: 0, cores: 4 }
const watts = (meter: Meter) => {
  const reading = meter.read(idleLoad)
  return reading && 'watts' in reading ? reading.watts : undefined
}
const joules = (meter: Meter) => {
  const reading = meter.read(idleLoad)
  return reading?.kind === 'counters' ? reading.counters.map((counter) => counter.joules) : undefined
}

describe('rapl', () => {
  const zone = (path: string, name: string, energy: number) => ({
    [`/sys/class/powercap/${path}/name`]: name,
    [`/sys/class/powercap/${path}/energy_uj`]: energy,
    [`/sys/class/powercap/${path}/max_energy_range_uj`]: 262_143_328_850,
  })

  test('sums packages and memory, and counts neither core nor the -mmio twin again', () => {
    const tree = fakeTree({
      ...zone('intel-rapl:0', 'package-0', 5_000_000),
      ...zone('intel-rapl:0:0', 'core', 3_000_000),
      ...zone('intel-rapl:0:1', 'dram', 1_000_000),
      ...zone('intel-rapl-mmio:0', 'package-0', 5_000_000),
    })
    const meter = opened(rapl.open(tree))
    expect(meter).toMatchObject({ source: 'rapl package-0+dram', label: 'measured', scope: 'cpu' })
    expect(meter.read(idleLoad)).toEqual({
      kind: 'counters',
      counters: [
        { joules: 5, rangeJoules: 262_143.32885 },
        { joules: 1, rangeJoules: 262_143.32885 },
      ],
    })
  })

  test('takes the platform counter alone where there is one', () => {
    const tree = fakeTree({
      ...zone('intel-rapl:0', 'package-0', 5_000_000),
      ...zone('intel-rapl:1', 'psys', 9_000_000),
    })
    const meter = opened(rapl.open(tree))
    expect(meter.scope).toBe('board')
    expect(joules(meter)).toEqual([9])
  })

  test('a domain that cannot be read fails the whole reading', () => {
    const tree = fakeTree({
      ...zone('intel-rapl:0', 'package-0', 5_000_000),
      ...zone('intel-rapl:1', 'package-1', 5_000_000),
    })
    const meter = opened(rapl.open(tree))
    tree.remove('/sys/class/powercap/intel-rapl:1/energy_uj')
    expect(meter.read(idleLoad)).toBeUndefined()
  })

  test('domains without a readable counter are passed over, with the reason', () => {
    const tree = fakeTree({ '/sys/class/powercap/intel-rapl:0/name': 'package-0' })
    expect(rapl.open(tree)).toEqual({ because: expect.stringContaining('root only') })
  })
})

describe('hwmon', () => {
  const chip = (files: Record<string, string | number>) =>
    fakeTree(
      Object.fromEntries(
        Object.entries(files).map(([name, text]) => [`/sys/class/hwmon/hwmon0/${name}`, text]),
      ),
    )

  test('power is in microwatts', () => {
    const meter = opened(hwmon.open(chip({ name: 'ina238', power1_input: 4_250_000 })))
    expect(watts(meter)).toBe(4.25)
    expect(meter).toMatchObject({ source: 'hwmon ina238 power1_input', label: 'measured', scope: 'board' })
  })

  test('energy is in microjoules, of unknown range, and goes before power', () => {
    const meter = opened(hwmon.open(chip({ name: 'meter', energy1_input: 7_000_000, power1_input: 1 })))
    expect(meter.read(idleLoad)).toEqual({ kind: 'counters', counters: [{ joules: 7, rangeJoules: 0 }] })
  })

  test('voltage times current, of the same channel', () => {
    const tree = chip({ name: 'ina219', in0_input: 9, in1_input: 5_000, curr1_input: 640, in2_input: 3 })
    expect(watts(opened(hwmon.open(tree)))).toBe(3.2)
  })

  test('a rail at 0 W or less does not feed the device that reads it', () => {
    expect(hwmon.open(chip({ name: 'ina219', power1_input: 0 }))).toHaveProperty('because')
    expect(hwmon.open(chip({ name: 'ina219', in1_input: 5000, curr1_input: -20 }))).toHaveProperty('because')
  })

  test('a chip that feeds only the GPU is passed over: its energy must not be shared out by CPU time', () => {
    const tree = chip({ name: 'amdgpu', power1_average: 30_000_000 })
    expect(hwmon.open(tree)).toEqual({ because: 'only parts of the device: amdgpu (gpu)' })
  })

  test('UCSI, batteries and INA3221 are left to those who know them', () => {
    for (const name of ['ucsi_source_psy_USBC000:001', 'BAT0', 'ina3221', 'tcpm_source_psy_4_0022']) {
      expect(hwmon.open(chip({ name, power1_input: 15_000_000 })), name).toHaveProperty('because')
    }
  })
})

describe('ina3221', () => {
  const path = '/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3'
  const rail = (channel: number, label: string, millivolts: number, milliamperes: number) => ({
    [`${path}/in${channel}_label`]: label,
    [`${path}/in${channel}_input`]: millivolts,
    [`${path}/curr${channel}_input`]: milliamperes,
  })

  test('reads the module input and nothing that lies behind it', () => {
    const tree = fakeTree({
      '/sys/bus/i2c/drivers/ina3221/bind': '',
      ...rail(1, 'VDD_CPU_GPU_CV', 5000, 300),
      ...rail(2, 'VDD_IN', 5000, 436),
      ...rail(3, 'VDD_SOC', 5000, 200),
    })
    const meter = opened(ina.open(tree))
    expect(meter).toMatchObject({ source: 'ina3221 VDD_IN', label: 'measured', scope: 'device' })
    expect(watts(meter)).toBeCloseTo(2.18, 12)
  })

  test('channel 7 and unconnected channels are no rails', () => {
    const tree = fakeTree({
      ...rail(1, 'NC', 5000, 10),
      ...rail(7, 'VDD_IN', 5000, 900),
      ...rail(2, 'CPU', 5000, 1),
    })
    expect(ina.open(tree)).toHaveProperty('because')
  })

  test('on JetPack 4 power is in milliwatts', () => {
    const old = '/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0'
    const tree = fakeTree({ [`${old}/rail_name_0`]: 'POM_5V_IN', [`${old}/in_power0_input`]: 2180 })
    expect(watts(opened(ina.open(tree)))).toBe(2.18)
  })

  test('0 W from a module that is running is a failed read', () => {
    const tree = fakeTree(rail(1, 'VDD_IN', 5000, 436))
    const meter = opened(ina.open(tree))
    tree.write(rail(1, 'VDD_IN', 5000, 0))
    expect(meter.read(idleLoad)).toBeUndefined()
  })
})

describe('battery', () => {
  const supply = (name: string, files: Record<string, string | number>) =>
    Object.fromEntries(
      Object.entries(files).map(([file, text]) => [`/sys/class/power_supply/${name}/${file}`, text]),
    )
  const draining = { type: 'Battery', status: 'Discharging', voltage_now: 12_000_000, current_now: 500_000 }

  test('current has either sign while discharging', () => {
    for (const current_now of [500_000, -500_000]) {
      expect(watts(opened(battery.open(fakeTree(supply('BAT0', { ...draining, current_now })))))).toBe(6)
    }
  })

  test('power is in microwatts', () => {
    const tree = fakeTree(supply('BAT0', { type: 'Battery', status: 'Discharging', power_now: -6_500_000 }))
    expect(watts(opened(battery.open(tree)))).toBe(6.5)
  })

  test('says nothing while charging, even when a second battery drains', () => {
    const tree = fakeTree({
      ...supply('BAT0', { ...draining, status: 'Charging' }),
      ...supply('BAT1', draining),
    })
    expect(battery.open(tree)).toEqual({ because: 'the battery is not discharging' })
  })

  test('two batteries drained together count together', () => {
    const tree = fakeTree({ ...supply('BAT0', draining), ...supply('BAT1', draining) })
    expect(watts(opened(battery.open(tree)))).toBe(12)
  })

  test('UCSI entries and the batteries of mice are not the device', () => {
    const tree = fakeTree({
      ...supply('ucsi-source-psy-USBC000:001', draining),
      ...supply('hidpp_battery_0', { ...draining, scope: 'Device' }),
    })
    expect(battery.open(tree)).toEqual({ because: 'no system battery' })
  })

  test('a gauge at 0 has not woken up', () => {
    expect(battery.open(fakeTree(supply('BAT0', { ...draining, current_now: 0 })))).toHaveProperty('because')
  })
})

describe('board model', () => {
  const model = (name: string) => fakeTree({ '/proc/device-tree/model': `${name}\0` })

  test('a Raspberry Pi 5 draws 2.8 W idle and 9.7 W under load', () => {
    const meter = opened(board.open(model('Raspberry Pi 5 Model B Rev 1.0')))
    expect(meter).toMatchObject({ label: 'modelled', scope: 'board', idleWatts: 2.8, sigmaFactor: 1.4 })
    expect(meter.read({ busyShare: 0.5, cores: 4 })).toEqual({ kind: 'interval', watts: 6.25 })
    expect(meter.read(undefined)).toBeUndefined()
  })

  test('names that begin alike are told apart', () => {
    const boardOf = (name: string) => {
      const result = board.open(model(name))
      return 'meter' in result ? result.meter.source.replace(/board-model | \([a-z-]+\)$/g, '') : 'none'
    }
    expect(
      Object.fromEntries(
        [
          'Raspberry Pi 3 Model B Plus Rev 1.3',
          'Raspberry Pi 3 Model B Rev 1.2',
          'Raspberry Pi Compute Module 4 Rev 1.1',
          'Raspberry Pi Compute Module 4S Rev 1.0',
          'Raspberry Pi Zero W Rev 1.1',
          'Raspberry Pi Zero 2 W Rev 1.0',
          'Raspberry Pi 400 Rev 1.0',
          'Xunlong Orange Pi 5',
          'Orange Pi 5 Max',
          'Orange Pi 5 Plus',
          'Radxa ROCK 5B',
          'Radxa ROCK 5B+',
          'NVIDIA Jetson Orin Nano',
        ].map((name) => [name, boardOf(name)]),
      ),
    ).toEqual({
      'Raspberry Pi 3 Model B Plus Rev 1.3': 'Raspberry Pi 3 B+',
      'Raspberry Pi 3 Model B Rev 1.2': 'Raspberry Pi 3 B',
      'Raspberry Pi Compute Module 4 Rev 1.1': 'Raspberry Pi CM4',
      'Raspberry Pi Compute Module 4S Rev 1.0': 'none',
      'Raspberry Pi Zero W Rev 1.1': 'Raspberry Pi Zero W',
      'Raspberry Pi Zero 2 W Rev 1.0': 'none',
      'Raspberry Pi 400 Rev 1.0': 'Raspberry Pi 400',
      'Xunlong Orange Pi 5': 'Orange Pi 5',
      'Orange Pi 5 Max': 'Orange Pi 5 Max',
      'Orange Pi 5 Plus': 'none',
      'Radxa ROCK 5B': 'Radxa Rock 5B',
      'Radxa ROCK 5B+': 'none',
      'NVIDIA Jetson Orin Nano': 'none',
    })
  })

  test.skipIf(!vectors)('holds every board of the public measurements', () => {
    for (const { board: name, idle_W, stress_W } of vectors?.boards.rows ?? []) {
      const row = boards.find((candidate) => candidate.board === name)!
      expect(row, name).toBeDefined()
      expect([row.idleWatts, row.fullWatts], name).toEqual([idle_W, stress_W])
    }
  })
})

describe('the hierarchy', () => {
  const psu = {
    '/sys/class/power_supply/BAT0/type': 'Battery',
    '/sys/class/power_supply/BAT0/status': 'Discharging',
    '/sys/class/power_supply/BAT0/power_now': 6_000_000,
  }
  const cpu = {
    '/sys/class/powercap/intel-rapl:0/name': 'package-0',
    '/sys/class/powercap/intel-rapl:0/energy_uj': 1,
  }
  const pi = { '/proc/device-tree/model': 'Raspberry Pi 4 Model B Rev 1.4' }
  const power = { '/sys/class/hwmon/hwmon0/name': 'ina260', '/sys/class/hwmon/hwmon0/power1_input': 1 }

  test('takes the best source there is', () => {
    const best = (files: Record<string, string | number>) => probe(fakeTree(files)).meter.source.split(' ')[0]
    expect(best({ ...power, ...psu, ...cpu, ...pi })).toBe('hwmon')
    expect(best({ ...psu, ...cpu, ...pi })).toBe('battery')
    expect(best({ ...cpu, ...pi })).toBe('rapl')
    expect(best(pi)).toBe('board-model')
    expect(best({})).toBe('constant')
  })

  test('a machine with no sensor says why, and falls to the assumption', () => {
    const { meter, passedOver } = probe(fakeTree())
    expect(meter).toMatchObject({ label: 'assumed', sigmaFactor: 3 })
    expect(passedOver.map(({ source }) => source)).toEqual([
      'ina3221',
      'hwmon',
      'battery',
      'rapl',
      'board-model',
    ])
    expect(meter.read({ busyShare: 0.25, cores: 8 })).toEqual({ kind: 'interval', watts: 8 })
  })

  test('a driver that is there but gives nothing is passed over', () => {
    const { meter, passedOver } = probe(
      fakeTree({ ...power, '/sys/class/hwmon/hwmon0/power1_input': 'ENODATA' }),
    )
    expect(meter.label).toBe('assumed')
    expect(passedOver).toContainEqual({ source: 'hwmon', because: expect.any(String) })
  })
})
