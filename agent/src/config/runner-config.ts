import Type from 'typebox'
import { closed, Ms } from './terms.ts'

export const RunnerSchema = Type.Object(
  {
    engine: Type.String({
      enum: ['auto', 'native', 'wasm'],
      default: 'auto',
      description:
        'ONNX Runtime as native code or as WebAssembly; `auto`: native, and WebAssembly where the board cannot run that.',
    }),
    nice: Type.Integer({
      minimum: 0,
      maximum: 19,
      default: 0,
      description: 'How far runners stand behind other processes for the CPU, as for `nice`.',
    }),
    cpus: Type.Optional(
      Type.String({
        pattern: '^\\d+(-\\d+)?(,\\d+(-\\d+)?)*$',
        description: 'CPUs that runners may use, such as `2-3`; on Linux, by `taskset`. Absent: all.',
      }),
    ),
    startMsMax: Ms(30_000, 100, 'From fork to the first word; ONNX Runtime is loaded within it.'),
    loadMsMax: Ms(120_000, 100, 'To load a model.'),
    selfTestMsMax: Ms(120_000, 100, 'For the golden vectors.'),
    handOverMsMax: Ms(15_000, 100, 'For the reading under way and the last window.'),
    hangMsMax: Ms(
      30_000,
      3_000,
      "One inference holds the runner's only thread, so this must be longer than the slowest.",
    ),
    memoryBytesMax: Type.Integer({
      minimum: 64 * 2 ** 20,
      default: 1_024 * 2 ** 20,
      description: 'Bytes of resident memory of one runner; a 9 kB model was seen to take 550 MB.',
    }),
  },
  { ...closed, default: {} },
)
