import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathsIn } from '@godwit/agent/control/paths'
import { readStatus } from '@godwit/agent/control/status'
import { HubClient } from './hub-client.ts'
import { Link } from './link.ts'
import { Program, runCommand } from './processes.ts'

const require = createRequire(import.meta.url)
const godwitBin = join(dirname(require.resolve('@godwit/hub/package.json')), 'bin', 'godwit.mjs')
const agentBin = join(dirname(require.resolve('@godwit/agent/package.json')), 'bin', 'godwit-agent.mjs')

export type MoteDevice = {
  id: string
  mote: number
  placement: 'indoor' | 'outdoor'
  directory: string
  configFile: string
  link: Link
  program: Program
}

/** Everything that runs: one hub and the agents, each a process of its own, and what the story holds in its hands. */
export class Stage {
  readonly directory: string
  readonly fleet = 'motes'
  readonly passphraseFile: string
  readonly keyDirectory: string
  readonly devices: MoteDevice[] = []
  /** What agents get on top of our own environment. */
  agentEnv: (id: string) => NodeJS.ProcessEnv = () => ({})
  readonly #cliEnv: NodeJS.ProcessEnv
  #hubProgram: Program | undefined
  #client: HubClient | undefined
  #httpPort = 0
  #mqttPort = 0
  dashboardLink = ''

  constructor(directory: string) {
    this.directory = directory
    this.keyDirectory = join(directory, 'publisher-keys')
    this.passphraseFile = join(directory, 'passphrase')
    mkdirSync(join(directory, 'logs'), { recursive: true })
    // Nobody needs to know it: it lives as long as this directory.
    writeFileSync(this.passphraseFile, randomBytes(18).toString('base64url'), { mode: 0o600 })
    this.#cliEnv = { GODWIT_CONFIG_DIR: join(directory, 'cli') }
  }

  get hub(): HubClient {
    if (!this.#client) throw new Error('the hub has not been started')
    return this.#client
  }

  get hubProgram(): Program {
    if (!this.#hubProgram) throw new Error('the hub has not been started')
    return this.#hubProgram
  }

  /** Runs `godwit …` as a person would and returns what it printed as JSON. */
  async godwit<T = unknown>(...args: string[]): Promise<T> {
    const outcome = await this.tryGodwit(...args)
    if (outcome.code !== 0)
      throw new Error(`godwit ${args.join(' ')} ended with ${outcome.code}\n${outcome.stderr}`)
    return JSON.parse(outcome.stdout) as T
  }

  tryGodwit(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return runCommand([godwitBin, ...args, '--json'], this.#cliEnv)
  }

  /** `mqttPort` is a wish: if somebody listens there, the system picks another. */
  async startHub(port: number | undefined, mqttPort = 1883): Promise<void> {
    const stateDir = join(this.directory, 'hub')
    await this.godwit(
      'hub',
      'init',
      ...['--state', stateDir, '--fleet', this.fleet, '--keys', this.keyDirectory],
      ...['--passphrase-file', this.passphraseFile],
    )
    for (let tries = 1; ; tries++) {
      await this.#choosePorts(port, mqttPort, stateDir)
      try {
        return await this.runHub()
      } catch (error) {
        // Between our look at a port and the hub's own, somebody else may have taken it.
        if (tries === 3 || !this.hubProgram.lastWords.includes('cannot-listen')) throw error
      }
    }
  }

  async #choosePorts(port: number | undefined, mqttPort: number, stateDir: string): Promise<void> {
    this.#httpPort = port ?? (await freePort(8080))
    this.#mqttPort = await freePort(this.#httpPort === mqttPort ? 0 : mqttPort)
    writeFileSync(
      join(this.directory, 'hub.yaml'),
      [
        `fleet: ${this.fleet}`,
        `stateDir: ${stateDir}`,
        `http: { host: 127.0.0.1, port: ${this.#httpPort} }`,
        `mqtt: { host: 127.0.0.1, port: ${this.#mqttPort} }`,
        '',
      ].join('\n'),
    )
  }

  /** Starts the hub's process, also again after it was killed. */
  async runHub(): Promise<void> {
    this.#hubProgram = new Program(
      'hub',
      [godwitBin, 'hub', 'run', '--config', join(this.directory, 'hub.yaml'), '--json'],
      {
        log: join(this.directory, 'logs', 'hub.log'),
        env: this.#cliEnv,
      },
    )
    this.#cliEnv['GODWIT_URL'] = `http://127.0.0.1:${this.#httpPort}`
    const line = await this.#hubProgram.nextLine()
    if (line === undefined) {
      await this.#hubProgram.ended
      throw new Error(`the hub did not start: ${this.#hubProgram.lastWords}`)
    }
    const ready = JSON.parse(line) as { http: string; mqtt: string; setupLink?: string }
    if (!this.#client) {
      const { token } = await this.godwit<{ token: string }>(
        'token',
        'create',
        '--name',
        'story',
        '--role',
        'admin',
      )
      this.#client = new HubClient(ready.http, token)
    }
    this.dashboardLink = (await this.hub.post<{ url: string }>('/api/v1/session/link', {})).url
  }

  /** One agent per mote: joins with a one-time token, over a link of its own that the story can cut. */
  async startDevice(
    mote: number,
    placement: 'indoor' | 'outdoor',
    recording: string,
    intervalMs: number,
    { via = 'mqtt' }: { via?: 'mqtt' | 'http' } = {},
  ): Promise<MoteDevice> {
    const id = `mote-${mote}`
    const directory = join(this.directory, id)
    mkdirSync(directory, { recursive: true })
    const { token } = await this.godwit<{ token: string }>(
      'device',
      'add',
      id,
      '--label',
      `placement=${placement}`,
    )
    const link = await Link.open({ host: '127.0.0.1', port: this.#mqttPort })
    const configFile = join(directory, 'agent.yaml')
    writeFileSync(
      configFile,
      [
        `stateDir: ${join(directory, 'state')}`,
        `join: { token: ${token} }`,
        // The story's links carry MQTT, so that models come that way too unless they are asked not to.
        `link: { mqttUrl: 'mqtt://127.0.0.1:${link.port}', backoffMsMin: 200, backoffMsMax: 1000 }`,
        `download: { via: ${via} }`,
        'slots:',
        '  default:',
        `    source: { kind: replay, path: ${recording}, intervalMs: ${intervalMs}, loop: true }`,
        '',
      ].join('\n'),
    )
    const device: MoteDevice = {
      id,
      mote,
      placement,
      directory,
      configFile,
      link,
      program: this.#runAgent(id, configFile),
    }
    this.devices.push(device)
    this.devices.sort((a, b) => a.mote - b.mote)
    return device
  }

  /** After its process was killed: the same command again. */
  restartDevice(device: MoteDevice): void {
    device.program = this.#runAgent(device.id, device.configFile)
  }

  /** What `godwit-agent status` prints, read here: a process for each look would be slower than what it looks at. */
  async deviceStatus<T>({ directory }: MoteDevice): Promise<T> {
    const paths = pathsIn(join(directory, 'state'))
    const sqlite = new DatabaseSync(paths.database, { readOnly: true })
    try {
      return readStatus(paths, sqlite) as T
    } finally {
      sqlite.close()
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.program.stop()))
    await this.#hubProgram?.stop()
    await Promise.all(this.devices.map((device) => device.link.close()))
  }

  /** Names of the processes that were started and do not run any more. */
  ended(): string[] {
    const programs = [
      ...(this.#hubProgram ? [this.#hubProgram] : []),
      ...this.devices.map((device) => device.program),
    ]
    return programs.filter((program) => !program.isRunning).map((program) => program.name)
  }

  /** For the moment when there is no time left to ask. */
  killAll(): void {
    for (const device of this.devices) device.program.killGroup()
    this.#hubProgram?.killGroup()
  }

  #runAgent(id: string, configFile: string): Program {
    return new Program(id, [agentBin, 'run', '--config', configFile], {
      log: join(this.directory, 'logs', `${id}.log`),
      env: this.agentEnv(id),
    })
  }
}

/** The wanted port if nobody listens there, else one that the system picks. */
export async function freePort(wanted: number): Promise<number> {
  const probe = (port: number) =>
    new Promise<number | undefined>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(undefined))
      server.listen(port, '127.0.0.1', () => {
        const chosen = (server.address() as AddressInfo).port
        server.close(() => resolve(chosen))
      })
    })
  const port = (await probe(wanted)) ?? (await probe(0))
  if (port === undefined) throw new Error('no free port on 127.0.0.1')
  return port
}
