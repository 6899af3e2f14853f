import type { Course, Outcome } from './cell.ts'
import type { Matrix } from './matrix.ts'
import { type Fault, faults, pathClass } from './places.ts'
import { type Story, stories } from './stories.ts'

const phases = [
  ...['starting', 'idle', 'assigned', 'checking', 'downloading', 'verified', 'staged', 'self_testing'],
  ...['activating', 'probation', 'rolling_back', 'committed', 'refused', 'rolled_back', 'stopping'],
]

const courses: Record<Course, string> = {
  restarted: 'right after the next start',
  itself: 'right in the same process',
  'after restart': 'served on, and right after the next start',
  'no start': 'ended with a message before anything served, and right after the next start',
  missed: 'not reached',
}

/** The matrix as Markdown, without dates, durations or anything else that changes when nothing has changed. */
export function tableOf(matrix: Matrix): { text: string; red: number; missed: number } {
  const { outcomes } = matrix
  const red = outcomes.filter(isRed)
  const missed = outcomes.filter((outcome) => outcome.course === 'missed' && !isRed(outcome))
  const text = [
    head(matrix, red.length, missed.length),
    ...stories.map((story) => storyTable(story, outcomes)),
    tail(red),
  ].join('\n')
  return { text, red: red.length, missed: missed.length }
}

function head({ outcomes, places, cells }: Matrix, red: number, missed: number): string {
  const isWhole = outcomes.length === cells
  const onnx = outcomes.filter(({ cell }) => cell.engine === 'onnx').length
  return `# Crash matrix

Written by \`npm run crash-matrix\`. Every story below was run once under strace, which lists the ${places.length} calls
that the control process makes in its state directory, those that change something and those that open or read; then once per call and harm, ${outcomes.length} cells${isWhole ? '' : ` of ${cells}`}:

- **KILL**: SIGKILL at the call, which is then not made; the agent is started again.
- **EIO**: the call fails once, and the process goes on.
- **ENOSPC**: this call and every later one that needs room fails, until the agent has complained and served on for a
  moment; then there is room again.

EIO and ENOSPC leave out the pages in the middle of a commit of the database, where they fail the commit as the first page
and the last do (\`--every\` takes them in); KILL leaves out what changes nothing, such as opening a file to read it.

After each the agent is started once more, unharmed, and looked at from outside. A cell is green when the story ended as
it should; one release is active, it is signed, it was loaded with the signed digest, and report, database and pointer
file name the same one; the answer to the directive was given once and never changed, and a failure was told in exactly
one event; a full disk was complained of; every reading lies in exactly one window; no sequence number came twice with different contents; every blob
and every staged file has the bytes that its name says, nothing is left over, and one runner serves.

${onnx === 0 ? 'All cells ran' : `${onnx} cells ran the real runner with ONNX Runtime, all others`} a light engine behind the runner's own protocol: it is the control process that is harmed.
How the cells are made, and what the matrix cannot show, is in \`test/crash-matrix/README.md\`.

**${outcomes.length - red - missed} green, ${red} red, ${missed} not reached.**

${totals(outcomes)}
`
}

function totals(outcomes: readonly Outcome[]): string {
  const rows = (Object.keys(courses) as Course[]).map((course) => {
    const counts = faults.map(
      (fault) => outcomes.filter((o) => o.cell.fault === fault && o.course === course && !isRed(o)).length,
    )
    return { course, counts }
  })
  return table(
    ['Outcome', ...faults],
    rows
      .filter(({ counts }) => counts.some((count) => count > 0))
      .map(({ course, counts }) => [courses[course], ...counts.map(String)]),
  )
}

function storyTable({ name, title, outcome }: Story, outcomes: readonly Outcome[]): string {
  const mine = outcomes.filter(({ cell }) => cell.place.story === name)
  const groups = new Map<string, Outcome[]>()
  for (const one of mine) {
    const { phase, path, call } = one.cell.place
    const key = [phases.indexOf(phase).toString().padStart(2, '0'), phase, pathClass(path), call].join('|')
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  const rows = [...groups.keys()].sort().map((key) => {
    const [, phase, path, call] = key.split('|')
    return [phase!, path!, `\`${call}\``, ...faults.map((fault) => summary(groups.get(key)!, fault))]
  })
  return `
## ${name}: ${title}

Right: \`${outcome.phase}\` with \`${outcome.code}\`. A number is a count of calls; plain: ${shortest()}.

${table(['Phase', 'What', 'Call', ...faults], rows)}`
}

const shortest = () =>
  'right after the next start (KILL), right in the same process (EIO, ENOSPC); `s` served on, right after the next start; `n` ended before anything served; `–` not reached'

const short: Record<Course, string> = {
  restarted: '',
  itself: '',
  'after restart': 's',
  'no start': 'n',
  missed: '–',
}

function summary(group: readonly Outcome[], fault: Fault): string {
  const mine = group.filter(({ cell }) => cell.fault === fault)
  const red = mine.filter(isRed).length
  const green = new Map<string, number>()
  for (const one of mine)
    if (!isRed(one)) {
      const mark = fault !== 'KILL' && one.course === 'restarted' ? 's' : short[one.course]
      green.set(mark, (green.get(mark) ?? 0) + 1)
    }
  const parts = [...green].sort().map(([mark, count]) => `${count}${mark && ` ${mark}`}`)
  return [...parts, ...(red > 0 ? [`**${red} RED**`] : [])].join(', ')
}

function tail(red: readonly Outcome[]): string {
  if (red.length === 0) return ''
  const lines = red.map(({ cell: { place, fault }, wrong }) => {
    const { story, index, call, path, nth, phase } = place
    return `- \`--story ${story} --fault ${fault} --index ${index}\`: ${call} no. ${nth} of ${path}, ${phase}: ${wrong.join('; ')}`
  })
  return `\n## Red cells\n\n${lines.join('\n')}\n`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n').concat('\n')
}

function isRed({ wrong }: Outcome): boolean {
  return wrong.length > 0
}
