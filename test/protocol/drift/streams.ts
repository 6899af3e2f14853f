/** Reproducible inputs. The seed is the argument, so a failing test prints what it ran on. */

/** The linear congruential generator of the reference vectors (Numerical Recipes' constants), 32 bits. */
export function lcg(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
}

/** Integers that look normal: sum of six bytes, centred. Standard deviation about 181. */
export function bellIntegers(next: () => number, count: number, offset = 0): number[] {
  return Array.from({ length: count }, () => {
    let value = offset - 765
    for (let i = 0; i < 6; i++) value += next() >>> 24
    return value
  })
}

/** First-order autoregressive stream around zero: today resembles yesterday by `phi`. */
export function autoregressive(next: () => number, count: number, phi: number): number[] {
  let value = 0
  return bellIntegers(next, count).map((shock) => {
    value = phi * value + shock
    return value
  })
}
