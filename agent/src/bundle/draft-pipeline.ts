import { Fault } from '@godwit/protocol/fault'
import { type Monitor, type Pipeline, pipeline } from '@godwit/protocol/release/pipeline'
import type { Session } from '../runner/session/session.ts'
import { readingsInput } from './takes-readings.ts'

export type PipelineTerms = {
  fields: readonly string[]
  window?: number | undefined
  stride?: number | undefined
  /** Absent: every output that is a tensor of numbers. */
  outputs?: readonly string[] | undefined
  /** An inference whose first output is above this is reported as an event. */
  above?: number | undefined
  /** Outputs, fields, and with a `+` before them the steps of fields; absent: the outputs. */
  monitor?: readonly string[] | undefined
}

/**
 * The pipeline of a model that takes readings as they come.
 *
 * @throws Fault `bundle-input`, `bundle-window`, `bundle-output` or `bundle-pipeline`, saying what does not fit
 */
export function draftPipeline(session: Session, terms: PipelineTerms): Pipeline {
  const { fields, stride, above } = terms
  const { name: input, window } = readingsInput(session.inputs, fields.length, terms.window)
  const numeric = session.outputs.filter(({ dtype }) => dtype !== 'string').map(({ name }) => name)
  const outputs = [...(terms.outputs ?? numeric)]
  const absent = outputs.filter((name) => !numeric.includes(name))
  if (outputs.length === 0 || absent.length > 0)
    throw new Fault(
      'bundle-output',
      `no output ${absent.join(', ')} of numbers: the model has ${numeric.join(', ') || 'none'}`,
    )
  const made: Pipeline = {
    format: 'godwit-pipeline/1',
    fields: [...fields],
    window,
    ...(stride !== undefined && stride !== 1 && { stride }),
    input,
    outputs,
    ...(above !== undefined && { decision: { output: outputs[0]!, above } }),
    monitor: (terms.monitor ?? outputs).map((what) => monitorOf(what, outputs)),
  }
  const read = pipeline.check(made)
  if (!read.ok) throw new Fault('bundle-pipeline', read.detail)
  return made
}

function monitorOf(what: string, outputs: readonly string[]): Monitor {
  if (what.startsWith('+'))
    return { name: nameOf(`${what.slice(1)}_step`), of: { incrementOf: what.slice(1) } }
  return { name: nameOf(what), of: outputs.includes(what) ? { output: what } : { field: what } }
}

/** Outputs may be called anything; a feature's name is made of letters, digits and underscores. */
function nameOf(text: string): string {
  const plain = text.replaceAll(/[^A-Za-z0-9_]/g, '_').slice(0, 64)
  return /^[A-Za-z]/.test(plain) ? plain : `x${plain}`.slice(0, 64)
}
