// `npm start`: the sample fleet's story. `npm start -- --once` ends with it and exits 0 only if every check held.
import { join } from 'node:path'
import { become, prepare, root } from './prepare.mjs'

prepare()
become([join(root, 'firmware-samples', 'sensor-fleet', 'dist', 'main.js'), ...process.argv.slice(2)])
