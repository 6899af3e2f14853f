// Loaded before an agent: its wall clock is off by as many milliseconds as the file says, which may change at any time.
import { readFileSync, watchFile } from 'node:fs'

const file = process.env['SOAK_CLOCK_FILE']
const trueNow = Date.now
let offsetMs = 0
const read = () => {
  try {
    offsetMs = Number(readFileSync(file, 'utf8')) || 0
  } catch {
    offsetMs = 0
  }
}
if (file) {
  read()
  watchFile(file, { interval: 250, persistent: false }, read)
  Date.now = () => trueNow() + offsetMs
}
