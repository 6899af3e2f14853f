// `npm test`: the whole suite. Arguments go to vitest (`npm test -- test/fleet`).
import { join } from 'node:path'
import { become, prepare, root } from './prepare.mjs'

prepare()
become([join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)])
