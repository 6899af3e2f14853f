import { afterAll, beforeAll, expect, test } from 'vitest'
import { identityModel } from '../hub/support/bundle.ts'
import { allAtOnce, eventually, FleetInABox, model } from '../support/fleet-in-a-box.ts'
import { childrenOf, hasProc } from '../support/process-tree.ts'
import { seamless } from '../support/sequence-audit.ts'

type Slot = {
  phase: string
  code?: string
  detail?: string
  active?: {
    version: string
    variant: string
    choice?: { by: string; why: string; trials: { code: string }[] }
  }
}

let box: FleetInABox

beforeAll(async () => {
  box = await FleetInABox.open()
  await Promise.all([box.addDevice(1), box.publish('1')])
  await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
})
afterAll(() => box?.close())

type Shown = { report?: { slots: Record<string, Slot> }; goals?: Record<string, unknown> }

const shown = () => box.stage.godwit<Shown>('device', 'show', box.devices[0]!.id)
const slotOf = async () => (await shown()).report?.slots['default']

const constantOf = (value: number) => ({
  name: 'value',
  type: 4,
  t: { dataType: 1, dims: [1], floatData: [value] },
})
/** In place of the identity: what it shows is decided when it runs, not by how it looks. */
const nodes = (...inner: object[]) => ({ node: inner })
const toNaN = nodes(
  { opType: 'Sub', input: ['window', 'window'], output: ['zero'] },
  { opType: 'Div', input: ['zero', 'zero'], output: ['score'] },
)
const bomb = {
  ...nodes(
    { opType: 'ConstantOfShape', input: ['much'], output: ['ones'], attribute: [constantOf(1)] },
    {
      opType: 'ReduceSum',
      input: ['ones'],
      output: ['sum'],
      attribute: [{ name: 'keepdims', type: 2, i: 0 }],
    },
    { opType: 'Mul', input: ['window', 'sum'], output: ['score'] },
  ),
  initializer: [{ name: 'much', dataType: 7, dims: [1], int64Data: [5e8] }],
}

test.each([
  ['nan', 'answers with no number', toNaN, 'selftest_accuracy'],
  ['bomb', 'takes 2 GB', bomb, 'selftest_memory'],
])(
  'a signed release whose model is bad (%s: %s) is refused; the device stays online and serves on',
  async (version, _, graph, code) => {
    await box.publish(version, { 'model.onnx': identityModel(graph as Parameters<typeof identityModel>[0]) })
    const [mote] = box.devices
    const runner = hasProc ? childrenOf(mote!.program.pid)[0] : undefined
    const rollout = await box.rollout(version, allAtOnce)
    const failed = await eventually(`${version} to be refused`, async () => {
      const [device] = await box.observe.rolloutDevices(rollout)
      return device?.state === 'failed' ? device : undefined
    })
    expect(failed).toMatchObject({ code })
    expect((await slotOf())?.active).toMatchObject({ version: '1' })
    const windows = (await box.observe.windows(mote!.id)).length
    await eventually(
      'it to measure on',
      async () => (await box.observe.windows(mote!.id)).length >= windows + 2,
    )
    expect((await box.observe.device(mote!.id)).status).toBe('online')
    if (hasProc) expect(childrenOf(mote!.program.pid)).toEqual([runner])
    await box.stage.godwit('rollout', 'abort', rollout, '--reason', 'a bad model')
  },
)

test('of a release with several variants, one that is wrong does not stop the others, and the hub hears of each', async () => {
  const manifest = {
    variants: [
      { name: 'broken', file: 'broken.onnx', precision: 'int8' },
      { name: 'fp32', file: 'model.onnx' },
    ],
  }
  await box.publish('several', {
    'broken.onnx': identityModel(toNaN as Parameters<typeof identityModel>[0]),
    'bundle.yaml': JSON.stringify(manifest),
  })
  const [mote] = box.devices
  await box.inPhase(await box.rollout('several', allAtOnce), 'completed')
  const slot = await slotOf()
  expect(slot?.active).toMatchObject({
    version: 'several',
    variant: 'fp32',
    choice: {
      by: 'only',
      trials: [
        { variant: 'broken', code: 'selftest_accuracy' },
        { variant: 'fp32', code: 'ok' },
      ],
    },
  })
  expect(await box.audit(mote!)).toEqual(seamless)
})

test('what one device must show on probation is said where it is given a version, or refused by name', async () => {
  const set = ['device', 'set', box.devices[0]!.id, `${model}@1`, '--probation']
  await box.stage.godwit(...set, 'durationMs=100', 'inferences=7')
  expect((await shown()).goals?.['default']).toMatchObject({
    version: '1',
    probation: { inferences: 7, crashesMax: 0 },
  })
  await expect(box.stage.godwit(...set, 'patience=1')).rejects.toThrow('durationMs, inferences')
})
