#!/usr/bin/env node
const major = Number(process.versions.node.split('.')[0])
if (major < 22) {
  // node:sqlite came with Node 22; `npx` and npm scripts use the Node 24 that npm brought along.
  process.stderr.write(
    `godwit-agent needs Node 22 or newer, this is ${process.version}; start it with npx godwit-agent\n`,
  )
  process.exit(2)
}
const { main } = await import('../dist/main.js')
await main(process.argv)
