import { openNative } from '@godwit/agent/runner/session/native'

/** A process that does nothing but run a model ten times a second: `bare-session.ts MODEL INPUT DIM…`. */
process.env['ORT_DISABLE_TELEMETRY'] = '1'
const [path = '', input = '', ...dims] = process.argv.slice(2)
const opened = await openNative(path, ['cpu'], 1)
if (!opened.ok) throw new Error(opened.detail)
const session = opened.value
const shape = dims.map(Number)
const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i / 10)
const feeds = { [input]: session.tensor('float32', shape, data) }
const names = session.outputs.map(({ name }) => name)
setInterval(() => void session.run(feeds, names), 100)
process.on('disconnect', () => process.exit(0))
process.send?.('up')
