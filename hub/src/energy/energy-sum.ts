import type { EnergyFigure } from '@godwit/protocol/messages/telemetry'

export type EnergyLabel = EnergyFigure['label']
const labels: readonly EnergyLabel[] = ['measured', 'modelled', 'assumed']

/** A window's figure as stored, with the window's length. */
export interface EnergyOfWindow
  extends Pick<
    EnergyFigure,
    'joules' | 'idleShareJoules' | 'unattributedJoules' | 'label' | 'source' | 'coverage' | 'sigmaFactor'
  > {
  readonly windowMs: number
}

export interface EnergySum {
  readonly joules: number
  readonly idleShareJoules: number
  /** Of devices, not of models: with several slots on a device each slot's window carries the rest once more. */
  readonly unattributedJoules: number
  /** The worst one in the sum; undefined while nothing was summed. */
  readonly label: EnergyLabel | undefined
  /** Every source in the sum, sorted: a figure of several sources names them all. */
  readonly sources: readonly string[]
  /** Measured time over time, 0..1. */
  readonly coverage: number
  /** One standard deviation as a factor; errors of one kind of source go the same way, so they do not average out. */
  readonly sigmaFactor: number
  readonly windowMs: number
  readonly windows: number
  /** Figures left out because a number in them was negative or no number at all. */
  readonly refused: number
}

export function worstLabel(first: EnergyLabel, ...others: readonly EnergyLabel[]): EnergyLabel {
  return others.reduce(
    (worst, label) => (labels.indexOf(label) > labels.indexOf(worst) ? label : worst),
    first,
  )
}

/**
 * Adds the figures of several windows. A gap adds no joules and lowers the coverage; nothing is extrapolated. One figure
 * per window and device: figures of different scopes of the same device contain each other and must not both come here.
 */
export function sumEnergy(figures: Iterable<EnergyOfWindow>): EnergySum {
  const all = [...figures]
  // A total that a single bad device could push down would be worth nothing to an auditor.
  const sound = all.filter(isSound)
  // A window of nothing but gap brought no number, so its label taints none.
  const told = sound.filter((figure) => figure.coverage > 0)
  const total = (value: (figure: EnergyOfWindow) => number) =>
    sound.reduce((sum, figure) => sum + value(figure), 0)
  const joules = total((figure) => figure.joules)
  const idleShareJoules = total((figure) => figure.idleShareJoules)
  const attributed = joules + idleShareJoules
  const windowMs = total((figure) => figure.windowMs)
  const [first, ...others] = told.map((figure) => figure.label)
  return {
    joules,
    idleShareJoules,
    unattributedJoules: total((figure) => figure.unattributedJoules),
    label: first && worstLabel(first, ...others),
    sources: [...new Set(told.map((figure) => figure.source))].sort(),
    coverage: windowMs > 0 ? total((figure) => figure.coverage * figure.windowMs) / windowMs : 0,
    sigmaFactor:
      attributed > 0
        ? total((figure) => figure.sigmaFactor * (figure.joules + figure.idleShareJoules)) / attributed
        : 1,
    windowMs,
    windows: sound.length,
    refused: all.length - sound.length,
  }
}

function isSound(figure: EnergyOfWindow): boolean {
  const { joules, idleShareJoules, unattributedJoules, windowMs, coverage, sigmaFactor } = figure
  const sound = (value: number) => Number.isFinite(value) && value >= 0
  return (
    [joules, idleShareJoules, unattributedJoules, windowMs, coverage].every(sound) &&
    coverage <= 1 &&
    Number.isFinite(sigmaFactor) &&
    sigmaFactor >= 1
  )
}
