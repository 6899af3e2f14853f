// `npm run bench [-- --json FILE]`: figures as ratios against a baseline measured in the same run.
import { join } from 'node:path'
import { become, prepare, root } from './prepare.mjs'

prepare()
become([join(root, 'test', 'bench', 'main.ts'), ...process.argv.slice(2)])
