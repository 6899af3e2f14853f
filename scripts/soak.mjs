// `npm run soak [-- --minutes 15 --seed 7]`: a fleet with somebody at its plugs; says what does not come back as it should.
import { join } from 'node:path'
import { become, prepare, root } from './prepare.mjs'

prepare()
become([join(root, 'test', 'soak', 'main.ts'), ...process.argv.slice(2)])
