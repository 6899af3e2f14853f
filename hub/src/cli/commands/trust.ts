import type { Command } from 'commander'
import type { Noun } from '../command.ts'
import { wholeNumberFrom } from '../number.ts'
import type { AssembleOptions } from '../signing.ts'
import type { DelegateOptions, InitOptions, RenewOptions, RotateOptions, TeamOptions } from '../trust.ts'

export const trustNoun: Noun = (program, run) => {
  const trust = program.command('trust').description('who may sign what: ceremonies, most of them offline')
  trust
    .command('init')
    .description('write the first root and the first targets of a fleet, unsigned')
    .requiredOption('--root-key <file...>', 'public keys that may change who may sign')
    .option('--root-threshold <m>', 'how many of them must', wholeNumberFrom(1, 1_000), 1)
    .requiredOption('--targets-key <file...>', 'public keys that may release models')
    .option('--targets-threshold <m>', 'how many of them must', wholeNumberFrom(1, 1_000), 1)
    .requiredOption('--hub-keys <file>', 'what godwit hub keys wrote')
    .option('--out <file>', 'where the root goes', 'root.unsigned.json')
    .option('--targets-out <file>', 'where the targets go', 'targets.unsigned.json')
    .action(
      run(async (shell, options: InitOptions) => (await import('../trust.ts')).initTrust(shell, options)),
    )
  trust
    .command('rotate')
    .description("write the root after the hub's current one, unsigned")
    .option('--add-root-key <file...>', 'public keys')
    .option('--remove-root-key <key...>', 'key ids, their first digits, or public keys')
    .option('--add-targets-key <file...>', 'public keys')
    .option('--remove-targets-key <key...>', 'key ids, their first digits, or public keys')
    .option('--root-threshold <m>', 'how many root keys must sign', wholeNumberFrom(1, 1_000))
    .option('--targets-threshold <m>', 'how many targets keys must sign', wholeNumberFrom(1, 1_000))
    .option('--hub-keys <file>', 'new online keys, from godwit hub keys --rotate')
    .option('--root <file>', 'a root you trust: the hub is believed only what follows from it')
    .option('--from <file>', 'the current root as a file, instead of the hub')
    .option('--out <file>', 'where it goes', 'root.unsigned.json')
    .action(
      run(async (shell, options: RotateOptions) => (await import('../trust.ts')).rotateRoot(shell, options)),
    )
  fromTargets(trust.command('delegate'))
    .description('write targets that let a team release the models whose names begin with a prefix, unsigned')
    .argument('<team>', 'lower-case letters, digits and -')
    .requiredOption('--prefix <prefix...>', 'how the names of its models begin')
    .requiredOption('--key <file...>', 'public keys of the team')
    .option('--threshold <m>', 'how many of them must sign', wholeNumberFrom(1, 1_000), 1)
    .action(
      run(async (shell, team: string, options: DelegateOptions) =>
        (await import('../trust.ts')).delegate(shell, team, options),
      ),
    )
  fromTargets(trust.command('undelegate'))
    .description('write targets without a team, unsigned: its releases are listed no longer')
    .argument('<team>')
    .action(
      run(async (shell, team: string, options: TeamOptions) =>
        (await import('../trust.ts')).undelegate(shell, team, options),
      ),
    )
  fromTargets(trust.command('renew'))
    .description('write the same targets with a later expiry, unsigned')
    .option('--team <team>', "a team's targets instead of the top-level ones")
    .action(run(async (shell, options: RenewOptions) => (await import('../trust.ts')).renew(shell, options)))
  trust
    .command('assemble')
    .description('put signatures made elsewhere into their document, and check that they are enough')
    .argument('<file>', 'the document')
    .requiredOption('--signature <file...>', 'what godwit sign wrote')
    .option('--root <file>', 'the root whose keys count (the one before, for a root); else asked of the hub')
    .option('--targets <file>', 'the targets that delegate to the team; else asked of the hub')
    .option('--partial', 'write it although signatures are missing')
    .requiredOption('--out <file>', 'where the signed document goes')
    .action(
      run(async (shell, file: string, options: AssembleOptions) =>
        (await import('../signing.ts')).assemble(shell, file, options),
      ),
    )
  trust
    .command('push')
    .description('hand signed documents to the hub, in the order given')
    .argument('<file...>')
    .action(run(async (shell, files: string[]) => (await import('../signing.ts')).push(shell, files)))
  trust
    .command('fetch')
    .description('a document as the hub has it now, to carry to a machine without a network')
    .argument('<what>', 'root, targets, or the name of a team')
    .requiredOption('--out <file>', 'where it goes')
    .action(
      run(async (shell, what: string, options: { out: string }) =>
        (await import('../signing.ts')).fetchDocument(shell, what, options),
      ),
    )
}

function fromTargets(command: Command): Command {
  return command
    .option('--root <file>', 'a root you trust: the hub is believed only what follows from it')
    .option('--from <file>', 'the current targets as a file, instead of the hub')
    .option('--out <file>', 'where they go', 'targets.unsigned.json')
}
