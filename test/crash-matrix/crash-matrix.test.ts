import { expect, test } from 'vitest'
import { runMatrix } from './matrix.ts'
import { faults } from './places.ts'
import { sampleOf } from './sample.ts'
import { canTrace } from './trace.ts'

/** The whole matrix is `npm run crash-matrix`. */
const cellsPerFault = 8

test.skipIf(!canTrace())(
  'a device harmed at any of a few system calls of an install comes back whole (skipped where strace may not inject)',
  async () => {
    const { outcomes } = await runMatrix({
      workers: 2,
      lanes: 2,
      onnxPerMille: 0,
      choose: (cells) =>
        faults.flatMap((fault) =>
          sampleOf(
            cells.filter((cell) => cell.fault === fault),
            cellsPerFault,
            1,
          ),
        ),
    })
    const red = outcomes.filter(({ wrong }) => wrong.length > 0)
    expect(
      red.map(({ cell: { place, fault }, wrong }) => [fault, place.call, place.path, place.phase, wrong]),
    ).toEqual([])
    const reached = outcomes.filter(({ course }) => course !== 'missed')
    expect(reached.length).toBeGreaterThan(2 * cellsPerFault)
  },
  // Bounded by what a cell waits for at most, not by what it takes: under a minute even on two busy cores.
  300_000,
)
