import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../bundle-on-disk.ts'
import { type ApiRunner, limits, startApi } from './api-runner.ts'

const good = { inputs: [{ name: 'x', shape: [1, 3, 1], datatype: 'FP32', data: [1, 2, 3] }] }

async function ask(url: string, body?: unknown, headers: Record<string, string> = {}) {
  const method = body === undefined ? 'GET' : 'POST'
  const text = typeof body === 'string' || body === undefined ? (body ?? null) : JSON.stringify(body)
  const response = await fetch(url, { method, body: text, headers })
  return { status: response.status, headers: response.headers, json: (await response.json()) as never }
}

function infer({ url }: ApiRunner, body: unknown, headers?: Record<string, string>) {
  return ask(`${url}/v2/models/mean/infer`, body, headers)
}

test('says what it is, that it lives, and what its model takes and gives', async () => {
  const { url } = await startApi()
  expect((await ask(`${url}/v2`)).json).toEqual({
    name: 'godwit',
    version: '0.1.0',
    extensions: ['binary_tensor_data', 'model_repository', 'statistics'],
  })
  expect((await ask(`${url}/v2/`)).status).toBe(200)
  expect((await ask(`${url}/v2/health/live`)).json).toEqual({ live: true, ready: true })
  expect((await ask(`${url}/v2/health/ready`)).status).toBe(200)
  const metadata = {
    name: 'mean',
    versions: ['1'],
    platform: 'onnx_onnxv1',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3, 1] }],
    outputs: [{ name: 'score', datatype: 'FP32', shape: [-1] }],
    properties: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
  }
  expect((await ask(`${url}/v2/models/mean`)).json).toEqual(metadata)
  expect((await ask(`${url}/v2/models/mean/versions/1`)).json).toEqual(metadata)
  expect((await ask(`${url}/v2/models/mean/ready`)).json).toEqual({ name: 'mean', ready: true })
  expect((await ask(`${url}/v2/models/mean/versions/1/ready`)).json).toEqual({ name: 'mean', ready: true })
  expect((await ask(`${url}/v2/repository/index`, {})).json).toEqual([
    { name: 'mean', version: '1', state: 'READY', reason: '' },
  ])
})

test('answers flat and nested data, one and several at once, and echoes the id only when there is one', async () => {
  const api = await startApi()
  const answered = await infer(api, { ...good, id: '42' })
  expect(answered.json).toEqual({
    model_name: 'mean',
    model_version: '1',
    id: '42',
    outputs: [{ name: 'score', datatype: 'FP32', shape: [1], data: [2] }],
  })
  const nested = {
    name: 'x',
    shape: [2, 3, 1],
    datatype: 'FP32',
    data: [
      [[1], [2], [3]],
      [[0], [0], [9]],
    ],
  }
  const two = await ask(`${api.url}/v2/models/mean/versions/1/infer`, { inputs: [nested] })
  expect(two.json).toEqual({
    model_name: 'mean',
    model_version: '1',
    outputs: [{ name: 'score', datatype: 'FP32', shape: [2], data: [2, 3] }],
  })
})

test('takes and gives tensors as bytes behind the JSON', async () => {
  const { url } = await startApi()
  const head = JSON.stringify({
    inputs: [{ name: 'x', shape: [1, 3, 1], datatype: 'FP32', parameters: { binary_data_size: 12 } }],
    outputs: [{ name: 'score', parameters: { binary_data: true } }],
  })
  const body = Buffer.concat([Buffer.from(head), Buffer.from(Float32Array.of(3, 4, 5).buffer)])
  const response = await fetch(`${url}/v2/models/mean/infer`, {
    method: 'POST',
    body,
    headers: { 'Inference-Header-Content-Length': String(head.length) },
  })
  expect(response.headers.get('content-type')).toBe('application/octet-stream')
  const bytes = Buffer.from(await response.arrayBuffer())
  const jsonBytes = Number(response.headers.get('inference-header-content-length'))
  expect(JSON.parse(bytes.toString('utf8', 0, jsonBytes)).outputs).toEqual([
    { name: 'score', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } },
  ])
  expect(bytes.readFloatLE(jsonBytes)).toBe(4)
})

test.each([
  ['no JSON', '{', 400, /no JSON/],
  ['no inputs', {}, 400, /inputs must be an array/],
  ['an input of another name', { inputs: [{ ...good.inputs[0], name: 'y' }] }, 400, /"y": the model takes x/],
  ['another type', { inputs: [{ ...good.inputs[0], datatype: 'INT32' }] }, 400, /"INT32", expected FP32/],
  [
    'another shape',
    { inputs: [{ ...good.inputs[0], shape: [1, 4, 1] }] },
    400,
    /\[1,4,1\], expected \[-1,3,1\]/,
  ],
  [
    'a shape that its data do not fill',
    { inputs: [{ ...good.inputs[0], shape: [2, 3, 1] }] },
    400,
    /3 elements, .* has 6/,
  ],
  ['a negative size', { inputs: [{ ...good.inputs[0], shape: [-1, 3, 1] }] }, 400, /array of sizes/],
  [
    'a shape beyond all memory',
    { inputs: [{ ...good.inputs[0], shape: [2 ** 40, 3, 1] }] },
    400,
    /more than 1000/,
  ],
  [
    'words for numbers',
    { inputs: [{ ...good.inputs[0], data: ['1', 2, 3] }] },
    400,
    /element 0 is no number/,
  ],
  [
    'an output that there is not',
    { ...good, outputs: [{ name: 'loss' }] },
    400,
    /"loss": the model has score/,
  ],
  ['too large a body', { ...good, id: 'x'.repeat(limits.bodyBytesMax) }, 413, /bytes/],
])('refuses %s by name, and goes on', async (_, body, status, error) => {
  const api = await startApi()
  const answer = await infer(api, body)
  expect(answer.status).toBe(status)
  expect(answer.json).toEqual({ error: expect.stringMatching(error) })
  expect((await infer(api, good)).status).toBe(200)
})

test('refuses what is not here, and what only the signed directive decides', async () => {
  const { url } = await startApi()
  expect(await ask(`${url}/v2/models/other`)).toMatchObject({ status: 404 })
  expect(await ask(`${url}/v2/models/mean/versions/2/infer`, good)).toMatchObject({ status: 404 })
  expect(await ask(`${url}/v3`)).toMatchObject({ status: 404, json: { error: 'nothing at /v3' } })
  expect(await ask(`${url}/v2/models/mean/infer`)).toMatchObject({ status: 405 })
  expect(await ask(`${url}/v2/repository/models/mean/unload`, {})).toMatchObject({ status: 403 })
  expect(await ask(`${url}/v2/models/%ff`)).toMatchObject({ status: 400 })
})

test('a Unix socket answers as the port does', async () => {
  const { socket } = await startApi()
  const status = await new Promise((resolve, reject) => {
    request({ socketPath: socket, path: '/v2/health/ready' }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })
  expect(status).toBe(200)
})

test('a web page that somebody looks at on the device may not ask', async () => {
  const { url } = await startApi()
  expect(await ask(`${url}/v2`, undefined, { origin: 'https://evil.example' })).toMatchObject({ status: 403 })
  const rebound = await new Promise((resolve) => {
    const { port } = new URL(url)
    request({ port, host: '127.0.0.1', path: '/v2', headers: { host: 'evil.example' } }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).end()
  })
  expect(rebound).toBe(403)
})

test('with a token, nobody gets in without it', async () => {
  const tokenFile = join(temporaryFolder(), 'token')
  writeFileSync(tokenFile, 'let-me-in\n')
  const { url } = await startApi({ tokenFile })
  expect(await ask(`${url}/v2`)).toMatchObject({ status: 401 })
  expect(await ask(`${url}/v2`, undefined, { authorization: 'Bearer let-me-out' })).toMatchObject({
    status: 401,
  })
  expect(await ask(`${url}/v2`, undefined, { authorization: 'Bearer let-me-in' })).toMatchObject({
    status: 200,
  })
})

test('requests are counted like readings, and refused ones not at all', async () => {
  const api = await startApi()
  for (let i = 0; i < 5; i++) await infer(api, good)
  await infer(api, { inputs: [] })
  await api.child.ask({ type: 'hand-over' }, 'handed-over')
  const sum = (count: (window: ReturnType<ApiRunner['windows']>[number]) => number) =>
    api.windows().reduce((total, window) => total + count(window), 0)
  expect(sum(({ record }) => record.readings)).toBe(5)
  expect(sum(({ record }) => record.requests ?? 0)).toBe(5)
  expect(sum(({ record }) => record.inferences)).toBe(5)
  expect(sum(({ record }) => record.errors)).toBe(0)
  expect(sum(({ record }) => record.latency.counts.reduce((a, b) => a + b))).toBe(5)
})

test('tells Triton-style statistics', async () => {
  const api = await startApi()
  await infer(api, good)
  await infer(api, { inputs: [] })
  const { json } = await ask(`${api.url}/v2/models/mean/stats`)
  expect(json).toMatchObject({
    model_stats: [
      {
        name: 'mean',
        version: '1',
        inference_count: 1,
        inference_stats: { success: { count: 1 }, fail: { count: 1 }, compute_infer: { count: 1 } },
      },
    ],
  })
})

test('readings that are posted go through the pipeline; bad ones among them are counted as errors', async () => {
  const api = await startApi()
  const taken = await ask(`${api.url}/readings`, '{"t":1}\n{"t":2}\nnonsense\n{"t":3}\n')
  expect(taken).toMatchObject({ status: 202, json: { accepted: 3, flawed: 1 } })
  expect(taken.headers.get('connection')).toBe('close')
  expect(await ask(`${api.url}/readings`, [{ t: 4 }])).toMatchObject({ status: 202 })
  expect(await ask(`${api.url}/readings`, '"t"')).toMatchObject({ status: 400 })
  await api.child.ask({ type: 'hand-over' }, 'handed-over')
  const records = api.windows().map(({ record }) => record)
  const sum = (key: 'readings' | 'inferences' | 'errors' | 'warmUp') =>
    records.reduce((total, record) => total + record[key], 0)
  expect([sum('readings'), sum('inferences'), sum('errors'), sum('warmUp')]).toEqual([6, 2, 2, 2])
  const [event] = api.windows().flatMap(({ events }) => events)
  expect(event).toMatchObject({ kind: 'inference_error', detail: { kind: 'malformed' } })
})

test('a client that hangs up in the middle of a body harms nobody', async () => {
  const api = await startApi()
  const { port } = new URL(api.url)
  const client = request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/v2/models/mean/infer',
    headers: { 'content-length': 1_000 },
  })
  client.on('error', () => {})
  client.write('{"inputs":')
  await new Promise((resolve) => setImmediate(resolve))
  client.destroy()
  expect((await infer(api, good)).status).toBe(200)
})
