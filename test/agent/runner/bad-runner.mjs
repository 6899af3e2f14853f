// The real runner, and what a model can make its process do besides. The version of the release says what, so that the
// one that serves beside it is as it should be.
let version = ''
const misdeeds = {
  leaks(message) {
    if (message.type !== 'serve') return
    const kept = []
    setInterval(() => kept.push(Buffer.alloc(4 * 2 ** 20, 1)), 20)
  },
  chatters(message) {
    if (message.type !== 'load') return
    const line = `${'blah '.repeat(1_000)}\n`
    for (let i = 0; i < 1_000; i++) {
      process.stdout.write(line)
      process.stderr.write(line)
    }
  },
  hangs(message) {
    if (message.type === 'serve')
      setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 300)
  },
  dies(message) {
    if (message.type === 'self-test') process.kill(process.pid, 'SIGILL')
  },
}
process.on('message', (message) => {
  if (message.type === 'load') version = message.version
  misdeeds[version]?.(message)
})
await import('@godwit/agent/runner/main')
