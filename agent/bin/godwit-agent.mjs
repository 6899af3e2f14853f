#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8'

const major = Number(process.versions.node.split('.')[0])
if (major < 22) {
  // node:sqlite came with Node 22; `npx` and npm scripts use the Node 24 that npm brought along.
  process.stderr.write(
    `godwit-agent needs Node 22 or newer, this is ${process.version}; start it with npx godwit-agent\n`,
  )
  process.exit(2)
}
// Control makes garbage in small portions: young objects get 2 MiB and not the 64 that Node would let them grow into.
setFlagsFromString('--semi-space-growth-factor=1')
const { main } = await import('../dist/main.js')
await main(process.argv)
