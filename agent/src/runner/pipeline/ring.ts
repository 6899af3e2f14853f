/**
 * The last `window` complete readings, oldest first, in the memory that the model reads: nothing is allocated per
 * reading. Shifting beats a true ring here, because the tensor must lie in one piece (1.5 µs for 64 KiB).
 */
export class Ring {
  readonly data: Float32Array
  readonly fields: readonly string[]
  readonly window: number
  readonly #times: Float64Array
  #filled = 0

  constructor(fields: readonly string[], window: number) {
    this.fields = fields
    this.window = window
    this.data = new Float32Array(fields.length * window)
    this.#times = new Float64Array(window)
  }

  get isFull(): boolean {
    return this.#filled === this.window
  }

  /** False, and nothing changed, when a field has no finite number: a model never sees a gap filled in. */
  push(at: number, values: Readonly<Record<string, number>>): boolean {
    const { fields } = this
    for (let f = 0; f < fields.length; f++) {
      if (!(Math.abs(values[fields[f]!]!) < Number.POSITIVE_INFINITY)) return false
    }
    this.#shift(at)
    const base = this.data.length - fields.length
    for (let f = 0; f < fields.length; f++) this.data[base + f] = values[fields[f]!]!
    return true
  }

  #shift(at: number): void {
    this.data.copyWithin(0, this.fields.length)
    this.#times.copyWithin(0, 1)
    this.#times[this.window - 1] = at
    if (this.#filled < this.window) this.#filled++
  }

  /** What comes next does not follow on what was. */
  clear(): void {
    this.#filled = 0
  }

  snapshot(): { at: number; values: number[] }[] {
    const readings = []
    for (let row = this.window - this.#filled; row < this.window; row++) {
      const start = row * this.fields.length
      readings.push({
        at: this.#times[row]!,
        values: Array.from(this.data.subarray(start, start + this.fields.length)),
      })
    }
    return readings
  }

  /** Takes over what another release kept, as far as that has all fields of this one. */
  restore(fields: readonly string[], readings: readonly { at: number; values: number[] }[]): void {
    for (const { at, values } of readings.slice(-this.window)) {
      this.push(at, Object.fromEntries(fields.map((field, f) => [field, values[f] ?? Number.NaN])))
    }
  }
}
