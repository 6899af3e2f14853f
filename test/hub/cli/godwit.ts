import { runProgram } from '@godwit/hub/cli/main'
import type { Box } from '../support/new-hub.ts'

export type Outcome = { code: number; stdout: string; stderr: string }

/** The `godwit` command in this process, speaking to the hub in the box once that listens. */
export function godwitFor(box: Box | undefined, directory: string) {
  return async (...args: string[]): Promise<Outcome> => {
    let stdout = ''
    let stderr = ''
    const code = await runProgram(
      {
        environment: {
          GODWIT_CONFIG_DIR: directory,
          GODWIT_PASSPHRASE: 'correct horse battery',
          NO_COLOR: '1',
          ...(box && { GODWIT_URL: box.hub.addresses.httpUrl, GODWIT_TOKEN: box.adminToken }),
        },
        stdout: (text) => {
          stdout += text
        },
        stderr: (text) => {
          stderr += text
        },
        tty: false,
        now: () => box?.time.now ?? 0,
        signal: new AbortController().signal,
      },
      args,
    )
    return { code, stdout, stderr }
  }
}
