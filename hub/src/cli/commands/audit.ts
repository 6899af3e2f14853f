import type { Noun } from '../command.ts'
import { table } from '../output.ts'

type Entry = { id: number; at: string; who: string; action: string; subject: string }

export const auditNoun: Noun = (program, run) => {
  const audit = program.command('audit').description('who did what')
  audit
    .command('list')
    .option('--limit <count>', 'the newest so many', '50')
    .action(
      run(async (shell, options: { limit: string }) => {
        const all = await shell
          .hub()
          .list<Entry>(`/api/v1/audit?limit=${Number(options.limit)}`, Number(options.limit))
        shell.out.print(all, () =>
          table(
            ['AT', 'WHO', 'ACTION', 'SUBJECT'],
            all.map((e) => [e.at, e.who, e.action, e.subject]),
            'nothing yet',
          ),
        )
      }),
    )
}
