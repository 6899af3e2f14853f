import type { Golden, GoldenCase } from '@godwit/protocol/release/golden'
import { type AnomalyModel, type Scored, scoreWindow } from './anomaly-model.ts'
import { inputName, outputName } from './model-graph.ts'

/** Float32 on other hardware sums in another order; a wrong model is off by far more than a thousandth. */
const tolerance = 1e-3
/** Golden windows keep away from the border between two regimes, where rounding may choose either. */
const marginMin = 1e-2
/** Where in the scores of its regime a window is taken, and where among all scores. */
const regimeQuantiles = [0.5, 0.9]
const strangeQuantiles = [0.99, 0.993, 0.996, 0.998, 0.999, 0.9995, 0.9998, 1]

/**
 * Windows whose answers prove the model: for each regime an ordinary one and an unusual one, so that no part of the
 * weights goes unasked, and some of the strangest of all. Answers come from the TypeScript forward pass, not from the
 * runtime that they will judge.
 */
export function goldenFor(model: AnomalyModel, windows: readonly Float32Array[]): Golden {
  const scored = windows.map((window) => ({ window, ...scoreWindow(model, window) }))
  const clear = scored.filter((s) => s.margin >= marginMin).sort((a, b) => a.score - b.score)
  const ofRegimes = model.regimes.flatMap((_, k) =>
    pick(
      clear.filter((s) => s.regime === k),
      regimeQuantiles,
    ),
  )
  const chosen = new Set([...ofRegimes, ...pick(clear, strangeQuantiles)])
  const cases = [...chosen].map((s) => caseOf(model, s))
  return { format: 'godwit-golden/1', atol: tolerance, rtol: tolerance, minAgree: 1, cases }
}

function pick<T>(sorted: readonly T[], quantiles: readonly number[]): T[] {
  if (sorted.length === 0) return []
  return quantiles.map((q) => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!)
}

function caseOf(model: AnomalyModel, { window, score }: Scored & { window: Float32Array }): GoldenCase {
  const shape = [1, model.window, model.levelCentre.length]
  return {
    inputs: { [inputName]: { dtype: 'float32', shape, data: [...window] } },
    outputs: { [outputName]: { dtype: 'float32', shape: [1], data: [Math.fround(score)] } },
  }
}
