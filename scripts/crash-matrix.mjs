// `npm run crash-matrix [-- --sample N]`: every system call of an install, killed and refused; writes agent/CRASH-MATRIX.md.
import { join } from 'node:path'
import { become, prepare, root } from './prepare.mjs'

prepare()
become([join(root, 'test', 'crash-matrix', 'main.ts'), ...process.argv.slice(2)])
