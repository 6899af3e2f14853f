import type { Noun } from '../command.ts'
import { wholeNumberFrom } from '../number.ts'

type Entry = { id: number; at: string; who: string; action: string; subject: string }

export const auditNoun: Noun = (program, run) => {
  const audit = program.command('audit').description('who did what')
  audit
    .command('list')
    .description('what was done, by whom, newest first')
    .option('--limit <count>', 'the newest so many', wholeNumberFrom(1, 10_000), 50)
    .action(
      run(async (shell, options: { limit: number }) => {
        const all = await shell
          .hub()
          .list<Entry>(`/api/v1/audit?limit=${Math.min(options.limit, 200)}`, options.limit)
        shell.out.list(
          all,
          ['AT', 'WHO', 'ACTION', 'SUBJECT'],
          (e) => [e.at, e.who, e.action, e.subject],
          'nothing yet',
        )
      }),
    )
  audit
    .command('export')
    .description('everything, with what proves it, as JSON lines')
    .requiredOption('--out <file>', 'must not exist')
    .action(
      run(async (shell, options: { out: string }) =>
        (await import('../audit.ts')).exportAudit(shell, options),
      ),
    )
  audit
    .command('verify')
    .description('prove an export: nothing missing, changed or reordered. Uses no network')
    .argument('<file>')
    .requiredOption('--root <file>', 'root document that you trust, best the first: 1.root.json')
    .option('--fleet <name>', 'refuse the audit of any other fleet')
    .option('--since <file>', 'an export of an earlier day: this one must go on from where that ended')
    .action(
      run(async (shell, file: string, options: { root: string; fleet?: string; since?: string }) =>
        (await import('../audit.ts')).verifyAudit(shell, file, options),
      ),
    )
}
