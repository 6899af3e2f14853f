// The real runner on a board whose processor lacks an instruction that ONNX Runtime's own code uses.
if (process.argv.includes('--wasm')) await import('@godwit/agent/runner/main')
else process.kill(process.pid, 'SIGILL')
