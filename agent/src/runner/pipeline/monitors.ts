import { type Monitor, type Pipeline, transformed } from '@godwit/protocol/release/pipeline'
import type { Tensors } from '../session/session.ts'

/**
 * The monitored numbers of one reading, in the order of the profile's features. NaN where there is none: no answer,
 * no field, or no reading before this one. An output counts by its first element.
 */
export class Monitors {
  readonly values: Float64Array
  readonly #monitors: readonly Monitor[]
  /** Fields that increments are taken of, and their values in the reading before. */
  readonly #stepped: readonly string[]
  #previous: Float64Array

  /** @param names the profile's features; each needs a monitor of its name */
  constructor(pipeline: Pipeline, names: readonly string[]) {
    this.#monitors = names.map((name) => pipeline.monitor.find((monitor) => monitor.name === name)!)
    this.values = new Float64Array(names.length)
    const stepped = this.#monitors.flatMap(({ of }) => ('incrementOf' in of ? [of.incrementOf] : []))
    this.#stepped = [...new Set(stepped)]
    this.#previous = new Float64Array(this.#stepped.length).fill(Number.NaN)
  }

  /** @param made what the features graph answered, if there is one and it did */
  read(fields: Readonly<Record<string, number>>, answer: Tensors | undefined, made?: Tensors): Float64Array {
    for (let m = 0; m < this.#monitors.length; m++) {
      const { of, transform } = this.#monitors[m]!
      let value: number
      if ('output' in of) value = elementOf(answer, of.output, 0)
      else if ('feature' in of) value = elementOf(made, of.feature, of.index ?? 0)
      else if ('field' in of) value = fields[of.field] ?? Number.NaN
      else value = this.#increment(fields, of.incrementOf)
      this.values[m] = transform === undefined || transform === 'none' ? value : transformed(value, transform)
    }
    return this.values
  }

  /** To be called once per reading, after `read`. */
  remember(fields: Readonly<Record<string, number>>): void {
    for (let s = 0; s < this.#stepped.length; s++) this.#previous[s] = fields[this.#stepped[s]!] ?? Number.NaN
  }

  /** The next reading has none before it. */
  forget(): void {
    this.#previous.fill(Number.NaN)
  }

  #increment(fields: Readonly<Record<string, number>>, field: string): number {
    return (fields[field] ?? Number.NaN) - this.#previous[this.#stepped.indexOf(field)]!
  }

  snapshot(): Record<string, number | null> {
    const entries = this.#stepped.map((field, s): [string, number | null] => {
      const value = this.#previous[s]!
      return [field, Number.isFinite(value) ? value : null]
    })
    return Object.fromEntries(entries)
  }

  restore(previous: Readonly<Record<string, number | null>>): void {
    this.#previous = Float64Array.from(this.#stepped, (field) => previous[field] ?? Number.NaN)
  }
}

/** Names of the readings' numbers that a pipeline uses: its input fields and the monitored ones. */
export function fieldsUsedBy(pipeline: Pipeline): string[] {
  const monitored = pipeline.monitor.flatMap(({ of }) => {
    if ('field' in of) return [of.field]
    return 'incrementOf' in of ? [of.incrementOf] : []
  })
  return [...new Set([...pipeline.fields, ...monitored])]
}

function elementOf(tensors: Tensors | undefined, name: string, index: number): number {
  const element = tensors?.[name]?.data[index]
  return element === undefined ? Number.NaN : Number(element)
}
