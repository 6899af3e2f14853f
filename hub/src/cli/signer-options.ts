import type { Command } from 'commander'

/** Wherever something is signed. */
export function signerOptions(command: Command): Command {
  return command
    .option('--key <file...>', 'sealed key files, as many as the role asks for')
    .option(
      '--signer-cmd <command>',
      'a program that signs, for a key in an HSM or KMS (docs/trust.md)',
      collected,
    )
    .option('--passphrase-file <file>', "read the keys' passphrase from a file")
}

/** Wherever a release is listed or taken off. */
export function releaseOptions(command: Command): Command {
  return signerOptions(command)
    .option('--prepare <file>', 'write the next targets unsigned, to be signed elsewhere')
    .option('--role <team>', 'sign as a team that the targets delegate to')
    .option('--root <file>', 'a root you trust: the hub is believed only what follows from it')
}

/** Said once for each signer: the command after it may hold spaces, and arguments follow. */
function collected(value: string, before: string[] = []): string[] {
  return [...before, value]
}
