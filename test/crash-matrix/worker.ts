import { join } from 'node:path'
import { liveCell } from './cell.ts'
import { Lane } from './lane.ts'
import { stories } from './stories.ts'
import type { FromWorker, Job, ToWorker } from './worker-messages.ts'

/** One of the matrix's workers: lives the cells that it is given in a few lanes side by side, for most of a cell waits. */
const lanes = new Map<number, Lane>()
/** To nobody, when the matrix was stopped in the middle of a cell. */
const say = (message: FromWorker) => void (process.connected && process.send!(message, () => {}))

async function live({ lane: number, directory, cell, template, fullPaths }: Job): Promise<void> {
  const lane = lanes.get(number) ?? new Lane(join(directory, `lane-${number}`))
  lanes.set(number, lane)
  const story = stories.find(({ name }) => name === cell.place.story)!
  const outcome = await liveCell(lane, story, template, cell, fullPaths)
  say({ type: 'lived', lane: number, outcome })
}

function close(): void {
  void Promise.all([...lanes.values()].map((lane) => lane.close())).then(() => process.exit(0))
}

process.on('disconnect', close)
process.on('message', (message: ToWorker) => {
  if (message.type === 'close') close()
  else
    live(message).catch((error: Error) =>
      say({ type: 'broken', lane: message.lane, because: error.stack ?? error.message }),
    )
})
