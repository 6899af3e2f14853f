import { fileURLToPath } from 'node:url'
import { agentConfig } from '@godwit/agent/config'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import { startAgent } from '@godwit/agent/wiring'
import { expect, onTestFinished, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { newHub } from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'
import { Authority, hasOpenssl, type Pair } from './authority.ts'

/** A hub that asks for certificates, and a whole agent with a runner that runs no model. */
async function joined(tlsOf: (plant: Authority) => { caFile?: string } & Partial<Pair>) {
  const directory = scratch()
  const plant = new Authority(directory)
  const clientCertificates = 'required'
  const hub = plant.issue('hub', 'serverAuth')
  const box = await newHub({ tls: { mode: 'files', ...hub, caFile: plant.caFile, clientCertificates } })
  onTestFinished(() => box.close())
  await box.hub.start()
  const { services } = box.hub
  const token = { labels: {}, uses: 1, expiresInMs: 60_000, deviceId: 'cam' }
  const join = await services.enrolment.createJoinToken(token, 'test')
  const config = agentConfig(
    {
      stateDir: 'device',
      join: { token: join.token },
      slots: { default: { source: { kind: 'replay', path: '/dev/null' } } },
      link: { backoffMsMin: 50, backoffMsMax: 100 },
      tls: tlsOf(plant),
    },
    directory,
  )
  const leaving = new AbortController()
  onTestFinished(() => leaving.abort())
  const said: object[] = []
  const say = (fields: object) => void said.push(fields)
  const agent = startAgent(
    config,
    {
      log: { debug: say, info: say, warn: say, error: say },
      clock: { wallMs: () => box.time.now, monotonicMs: () => performance.now() },
      random: Math.random,
      sysfs: rootedSysfs(),
      fetch,
      agentVersion: '0.0.0',
      builtAtMs: box.time.now - 86_400_000,
      runnerScript: fileURLToPath(new URL('../../agent/control/support/fake-runner.mjs', import.meta.url)),
    } as Parameters<typeof startAgent>[1],
    leaving.signal,
  )
  return { services, agent, said, leaving }
}

test.skipIf(!hasOpenssl)('an agent joins and serves over TLS, showing its certificate', async () => {
  const { services, agent } = await joined((plant) => ({
    caFile: plant.caFile,
    ...plant.issue('cam', 'clientAuth'),
  }))
  const running = await agent
  onTestFinished(() => running.stop())
  await waitFor(async () =>
    expect(await services.fleet.device('cam')).toMatchObject({ status: 'online', birth: {} }),
  )
})

test.skipIf(!hasOpenssl)('an agent that does not know the hub’s authority tells it nothing', async () => {
  const { services, agent, said, leaving } = await joined(() => ({}))
  const ended = expect(agent).rejects.toThrow()
  await waitFor(() => expect(JSON.stringify(said)).toMatch(/certificate|issuer/))
  leaving.abort()
  await ended
  expect(await services.fleet.devices()).toEqual([])
})

test('a certificate without its key is refused when the configuration is read', () => {
  const slots = { default: { source: { kind: 'replay', path: 'x' } } }
  expect(() => agentConfig({ stateDir: 'x', slots, tls: { certFile: 'a.pem' } }, '/etc/agent')).toThrow(
    /`certFile` and `keyFile`/,
  )
  const { tls } = agentConfig({ stateDir: 'x', slots, tls: { caFile: 'ca.pem' } }, '/etc/agent')
  expect(tls).toEqual({ caFile: '/etc/agent/ca.pem' })
})
