import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pathsIn } from '@godwit/agent/control/paths'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { FleetInABox } from '../support/fleet-in-a-box.ts'
import { LossyLink } from '../support/lossy-link.ts'
import { mountTmpfs, unmountTmpfs } from '../support/tmpfs.ts'

/** A device with everything that can be done to it. */
export type Victim = {
  device: MoteDevice
  stateDir: string
  /** What lies between it and the hub: MQTT, and HTTP where models come that way. */
  links: readonly LossyLink[]
  clockFile: string
  /** The same command again. */
  restart: () => void
  /** Its state lies on a small disk of its own, which can be filled. */
  hasOwnDisk: boolean
  /** Kinds of plugs that somebody is at. */
  busy: Set<string>
}

const disk = 'size=48m'

/** A hub and a few agents in processes of their own, and between them links, clocks and disks that can be harmed. */
export class World {
  readonly box: FleetInABox
  readonly victims: Victim[] = []
  isHubBusy = false

  private constructor(box: FleetInABox) {
    this.box = box
  }

  static async open(devices: number, seed: number): Promise<World> {
    const world = new World(await FleetInABox.open())
    try {
      const { stage } = world.box
      const clock = pathToFileURL(join(import.meta.dirname, 'wrong-clock.mjs')).href
      stage.agentEnv = (id) => ({
        NODE_OPTIONS: `--import=${clock}`,
        SOAK_CLOCK_FILE: join(stage.directory, `${id}.clock`),
      })
      for (let n = 1; n <= devices; n++) await world.#add(n, seed)
      return world
    } catch (error) {
      await world.close()
      throw error
    }
  }

  async #add(n: number, seed: number): Promise<void> {
    const { stage } = this.box
    const stateDir = join(stage.directory, `mote-${n}`, 'state')
    mkdirSync(stateDir, { recursive: true })
    const hasOwnDisk = mountTmpfs(stateDir, disk)
    // Every other one fetches its models over HTTP.
    const via = n % 2 === 0 ? 'http' : 'mqtt'
    const device = await this.box.addDevice(n, 'indoor', { via })
    await device.program.stop()
    const mqtt = await LossyLink.open({ port: device.link.port }, {}, seed + n)
    const links = [mqtt]
    const yaml = readFileSync(device.configFile, 'utf8').replace(`:${device.link.port}'`, `:${mqtt.port}'`)
    writeFileSync(device.configFile, yaml)
    if (via === 'http') {
      const { enrolment } = pathsIn(stateDir)
      const answer = JSON.parse(readFileSync(enrolment, 'utf8')) as { httpUrl: string }
      const http = await LossyLink.open({ port: Number(new URL(answer.httpUrl).port) }, {}, seed + n)
      writeFileSync(enrolment, JSON.stringify({ ...answer, httpUrl: http.url }))
      links.push(http)
    }
    stage.restartDevice(device)
    const clockFile = join(stage.directory, `${device.id}.clock`)
    const restart = () => stage.restartDevice(device)
    this.victims.push({ device, stateDir, links, clockFile, restart, hasOwnDisk, busy: new Set() })
    await this.box.isOnline(device)
  }

  async close(): Promise<void> {
    for (const { links } of this.victims) for (const link of links) await link.close()
    const own = this.victims.filter(({ hasOwnDisk }) => hasOwnDisk)
    await this.box.stage.stop()
    for (const { stateDir } of own) unmountTmpfs(stateDir)
    await this.box.close()
  }

  /** For the moment when there is no time left to ask. */
  abandon(): void {
    this.box.stage.killAll()
    for (const { stateDir, hasOwnDisk } of this.victims) if (hasOwnDisk) unmountTmpfs(stateDir)
    rmSync(this.box.directory, { recursive: true, force: true })
  }
}
