import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'

type MakeOptions = {
  readings: string[]
  out: string
  fields?: string[]
  window?: number
  stride?: number
  output?: string[]
  above?: number
  monitor?: string[]
  pipeline?: string
  vectors: number
  tolerance: number
}

/** `bundle make`, for whoever has a model and recordings, on the machine where releases are published. */
export function bundleCommand(program: Command): void {
  program
    .command('bundle')
    .description('what a release is published from')
    .command('make')
    .description(
      'make a bundle of a model and recorded readings: golden vectors, pipeline, reference profile, model card',
    )
    .argument('<model>', 'the ONNX file')
    .requiredOption(
      '--readings <file...>',
      'recordings, CSV or a JSON object a line; one a device, in time order',
    )
    .requiredOption('--out <directory>', 'a new directory, to publish with `godwit version publish`')
    .option('--fields <name...>', 'fields in the order of the model (else every column of numbers)')
    .option('--window <readings>', 'readings at a time, where the model leaves it open', positive)
    .option('--stride <readings>', 'readings from one inference to the next', positive)
    .option('--output <name...>', 'outputs to fetch (else every one that holds numbers)')
    .option('--above <number>', 'an inference whose first output is above this is an event', finite)
    .option(
      '--monitor <name...>',
      'outputs, fields or, as +field, steps of fields to watch for drift (else the outputs)',
    )
    .option(
      '--pipeline <file>',
      'a pipeline.json of your own, in the place of all that; its features graph lies beside it',
    )
    .option('--vectors <count>', 'golden vectors', positive, 24)
    .option(
      '--tolerance <number>',
      'how far answers on devices may be off, absolute and relative',
      distance,
      1e-3,
    )
    .action(async (model: string, options: MakeOptions) => {
      // Before the runtime loads.
      process.env['ORT_DISABLE_TELEMETRY'] = '1'
      const { makeBundle } = await import('./make-bundle.ts')
      const { readings, out, pipeline, fields, window, stride, output, above, monitor } = options
      const made = await makeBundle({
        model,
        readings,
        out,
        pipeline,
        terms: { fields, window, stride, outputs: output, above, monitor },
        golden: { count: options.vectors, tolerance: options.tolerance },
      })
      process.stdout.write(`${JSON.stringify(made, null, 2)}\n`)
    })
}

function positive(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new InvalidArgumentError('expected a whole number from 1 on')
}

function finite(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new InvalidArgumentError('expected a number')
}

function distance(text: string): number {
  const value = finite(text)
  if (value >= 0) return value
  throw new InvalidArgumentError('expected a number from 0 on')
}
