import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agentConfig } from '@godwit/agent/config'
import type { Log } from '@godwit/agent/control/log'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import { type Agent, startAgent } from '@godwit/agent/wiring'
import { now } from '../../../support/tuf-repository.ts'
import type { FakeHub } from './fake-hub.ts'

const offsetMs = performance.now()

/** A device whose agent runs in this process and whose runner is the fake one. Real disk, real database, real link. */
export class Device {
  readonly stateDir: string
  /** By how much its wall clock, which starts at the tests' present and runs as fast as life, is off. */
  clockOffMs = 0
  /** What the agent logged, oldest first. */
  readonly said: { level: string; message: string; fields: Record<string, unknown> }[] = []
  readonly #listeners = new Set<() => void>()
  readonly #log = logInto(this.said, this.#listeners)
  readonly #hub: FakeHub
  readonly #change: Record<string, unknown>
  #agent: Agent | undefined

  /** @param stateDir of another device, for one that was cloned */
  constructor(
    hub: FakeHub,
    change: Record<string, unknown> = {},
    stateDir = mkdtempSync(join(tmpdir(), 'godwit-device-')),
  ) {
    this.stateDir = stateDir
    this.#hub = hub
    this.#change = change
  }

  async start(): Promise<void> {
    const config = agentConfig(
      {
        stateDir: this.stateDir,
        join: { token: this.#hub.joinToken },
        slots: { default: { source: { kind: 'replay', path: '/dev/null' } } },
        link: { backoffMsMin: 50, backoffMsMax: 400 },
        runner: { startMsMax: 15_000, loadMsMax: 5_000, selfTestMsMax: 1_500, handOverMsMax: 1_000 },
        ...this.#change,
      },
      '/',
    )
    this.#agent = await startAgent(config, {
      log: this.#log,
      clock: {
        wallMs: () => Math.round(now + this.clockOffMs + performance.now() - offsetMs),
        monotonicMs: () => performance.now(),
      },
      random: Math.random,
      sysfs: rootedSysfs(),
      fetch,
      agentVersion: '0.0.0',
      builtAtMs: now - 86_400_000,
      runnerScript: fileURLToPath(new URL('./fake-runner.mjs', import.meta.url)),
    })
  }

  async stop(): Promise<void> {
    await this.#agent?.stop()
    this.#agent = undefined
  }

  /** Until the agent has logged something that makes it true. */
  until(isTrue: () => boolean, limitMs = 30_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(limit)
        this.#listeners.delete(look)
        settle()
      }
      const limit = setTimeout(() => end(() => reject(new Error(`not logged within ${limitMs} ms`))), limitMs)
      const look = () => isTrue() && end(resolve)
      this.#listeners.add(look)
      look()
    })
  }

  async remove(): Promise<void> {
    await this.stop()
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}

function logInto(said: Device['said'], listeners: ReadonlySet<() => void>): Log {
  const say = (level: string) => (fields: object, message: string) => {
    said.push({ level, message, fields: fields as Record<string, unknown> })
    for (const look of [...listeners]) look()
    if (process.env['GODWIT_TEST_LOG']) console.error(level, message, JSON.stringify(fields))
  }
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
