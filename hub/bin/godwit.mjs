#!/usr/bin/env node
if (Number(process.versions.node.split('.')[0]) < 22) {
  process.stderr.write(
    `godwit needs Node 22 or newer (it uses node:sqlite); this is ${process.version}. ` +
      'Inside the project use `npx godwit` or an npm script: they run on the Node 24 that npm installed.\n',
  )
  process.exit(1)
}
const { main } = await import('../dist/cli/main.js')
await main(process)
