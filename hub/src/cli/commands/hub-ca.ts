import type { Command } from 'commander'
import type { Runner } from '../command.ts'
import type { CaOptions } from '../hub-ca.ts'

/** `godwit hub ca`: on the hub's machine, since it reads the state directory. */
export function hubCaNoun(hub: Command, run: Runner): void {
  const ca = hub.command('ca').description("the hub's own certificate authority (`tls.mode: hub`)")
  const there = (command: Command) =>
    command
      .option('--config <file>', "the hub's configuration")
      .option('--state <directory>', 'its state directory, instead', 'godwit-hub')
  there(ca.command('show'))
    .description('its digest, for `join.caSha256` of devices, and until when it holds')
    .action(run(async (shell, options: CaOptions) => (await import('../hub-ca.ts')).showCa(shell, options)))
  there(ca.command('export'))
    .description('its certificate as PEM, for browsers, brokers and `tls.caFile` of devices')
    .option('--out <file>', 'where to; else standard output')
    .action(run(async (shell, options: CaOptions) => (await import('../hub-ca.ts')).exportCa(shell, options)))
}
