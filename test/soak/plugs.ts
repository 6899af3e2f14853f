import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Dice } from '../support/dice.ts'
import type { Weather } from '../support/lossy-link.ts'
import { childrenOf } from '../support/process-tree.ts'
import { fillDisk } from '../support/tmpfs.ts'
import type { Victim, World } from './world.ts'

/** Something that is done to one device or to the hub, and undone again. */
export type Plug = {
  name: string
  /** Two plugs of one kind are not pulled at once. */
  kind: 'link' | 'process' | 'clock' | 'disk'
  /** How often, against the others. */
  weight: number
  /** `hold` waits; it ends early when the soak does. Resolves when everything is as before. */
  pull(victim: Victim, dice: Dice, hold: (ms: number) => Promise<void>): Promise<string>
}

export type HubPlug = Omit<Plug, 'pull' | 'kind'> & {
  pull(world: World, dice: Dice, hold: (ms: number) => Promise<void>): Promise<string>
}

const hourMs = 3_600_000

/** The bad weather for a while; connections that were made in it end with it, as their bytes have holes. */
function weathered(name: string, weight: number, weatherOf: (dice: Dice) => Weather): Plug {
  return {
    name,
    kind: 'link',
    weight,
    async pull({ links }, dice, hold) {
      const weather = weatherOf(dice)
      const ms = dice.whole(1_000, 8_000)
      for (const link of links) {
        link.weather = weather
        if (dice.roll() < 0.5) link.cutOnce()
      }
      await hold(ms)
      for (const link of links) {
        link.weather = {}
        link.cutOnce()
      }
      return `${JSON.stringify(weather)} for ${ms} ms`
    },
  }
}

export const plugs: readonly Plug[] = [
  weathered('link stalls', 2, (dice) => ({ stall: { chance: 0.5, ms: dice.whole(200, 3_000) } })),
  weathered('link drips', 2, (dice) => ({ bytesPerSecond: dice.whole(2_000, 100_000) })),
  weathered('link is half open', 2, () => ({ silent: true })),
  weathered('link truncates', 2, (dice) => ({ truncateAfterBytes: dice.whole(1, 60_000) })),
  weathered('link resets', 2, (dice) => ({ resetAfterBytes: dice.whole(1, 60_000) })),
  weathered('link resets in a CONNECT', 2, (dice) => ({ resetAfterBytesUp: dice.whole(1, 400) })),
  {
    name: 'link is cut',
    kind: 'link',
    weight: 2,
    async pull({ links }, dice, hold) {
      const ms = dice.whole(500, 8_000)
      for (const link of links) link.cut()
      await hold(ms)
      for (const link of links) link.restore()
      return `for ${ms} ms`
    },
  },
  {
    name: 'agent killed',
    kind: 'process',
    weight: 4,
    async pull({ device, restart }, dice, hold) {
      const withRunner = dice.roll() < 0.5
      const ms = dice.whole(0, 3_000)
      if (withRunner) device.program.killGroup()
      else device.program.signal('SIGKILL')
      await device.program.ended
      await hold(ms)
      restart()
      return `${withRunner ? 'with its runners' : 'alone'}, for ${ms} ms`
    },
  },
  {
    name: 'agent killed again and again',
    kind: 'process',
    weight: 1,
    async pull({ device, restart }, dice, hold) {
      const times = dice.whole(2, 4)
      for (let kill = 0; kill < times; kill++) {
        device.program.killGroup()
        await device.program.ended
        restart()
        await hold(dice.whole(200, 2_500))
      }
      return `${times} times`
    },
  },
  {
    name: 'agent stopped in good order',
    kind: 'process',
    weight: 1,
    async pull({ device, restart }, dice, hold) {
      await device.program.stop(30_000)
      await hold(dice.whole(0, 2_000))
      restart()
      return ''
    },
  },
  {
    name: 'agent frozen',
    kind: 'process',
    weight: 2,
    async pull({ device }, dice, hold) {
      const ms = dice.whole(500, 6_000)
      device.program.signal('SIGSTOP')
      await hold(ms)
      device.program.signal('SIGCONT')
      return `for ${ms} ms`
    },
  },
  {
    name: 'runner killed',
    kind: 'process',
    weight: 3,
    async pull({ device }, dice) {
      const runners = device.program.isRunning ? childrenOf(device.program.pid) : []
      if (runners.length === 0) return 'there was none'
      const runner = dice.pick(runners)
      process.kill(runner, 'SIGKILL')
      return `${runner} of ${runners.length}`
    },
  },
  {
    name: 'clock jumps',
    kind: 'clock',
    weight: 3,
    async pull({ clockFile }, dice, hold) {
      const hours = dice.pick([-24 * 400, -48, -1, 1, 72, 24 * 400])
      writeFileSync(clockFile, String(hours * hourMs))
      await hold(dice.whole(2_000, 8_000))
      rmSync(clockFile, { force: true })
      return `by ${hours} hours`
    },
  },
  {
    name: 'disk full',
    kind: 'disk',
    weight: 3,
    async pull(victim, dice, hold) {
      if (!victim.hasOwnDisk) return 'it shares ours'
      const ms = dice.whole(500, 8_000)
      const ballast = join(victim.stateDir, 'ballast')
      fillDisk(ballast)
      await hold(ms)
      rmSync(ballast, { force: true })
      return `for ${ms} ms`
    },
  },
]

/** The broker lives in the hub: both go together. */
export const hubPlugs: readonly HubPlug[] = [
  {
    name: 'hub and broker killed',
    weight: 3,
    async pull({ box: { stage } }, dice, hold) {
      const ms = dice.whole(0, 4_000)
      stage.hubProgram.killGroup()
      await stage.hubProgram.ended
      await hold(ms)
      await stage.runHub()
      return `for ${ms} ms`
    },
  },
  {
    name: 'hub and broker stopped in good order',
    weight: 1,
    async pull({ box: { stage } }, dice, hold) {
      await stage.hubProgram.stop()
      await hold(dice.whole(0, 3_000))
      await stage.runHub()
      return ''
    },
  },
  {
    name: 'hub and broker frozen',
    weight: 1,
    async pull({ box: { stage } }, dice, hold) {
      const ms = dice.whole(500, 5_000)
      stage.hubProgram.signal('SIGSTOP')
      await hold(ms)
      stage.hubProgram.signal('SIGCONT')
      return `for ${ms} ms`
    },
  },
]
