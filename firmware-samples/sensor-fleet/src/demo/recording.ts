import { writeFileSync } from 'node:fs'
import { fields, type Mote } from '../motes.ts'

/** The recording as an agent's replay source reads it. The labels stay here: a device does not have them. */
export function writeRecording(path: string, mote: Mote): string {
  const lines = mote.readings.map((reading) => fields.map((field) => reading[field]).join(','))
  writeFileSync(path, `${fields.join(',')}\n${lines.join('\n')}\n`)
  return path
}
