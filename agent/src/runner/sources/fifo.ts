import { execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, fstatSync, openSync } from 'node:fs'

/** For reading and writing, so that it opens without a writer and never ends when the last one goes. */
export function openFifo(path: string): number {
  // Node has no call for it; every Unix has the command.
  if (!existsSync(path)) execFileSync('mkfifo', ['-m', '0660', path], { stdio: 'ignore' })
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  if (fstatSync(fd).isFIFO()) return fd
  closeSync(fd)
  throw new Error(`${path} is no FIFO; a file is read with kind \`jsonl\``)
}
