import type { Made } from './make-bundle.ts'

/** What is known of a model by having run it; what only its makers know stays for them to write. */
export function cardFor(
  made: Made,
  { sha256, recordings }: { sha256: string; recordings: readonly string[] },
): string {
  const { answers, golden, profile } = made
  const drift =
    'none' in profile
      ? `None: ${profile.none}.`
      : `${profile.windows} windows of ${profile.windowSize}; ${Object.entries(profile.certified)
          .map(
            ([name, certified]) =>
              `${name} is ${certified ? 'certified' : 'uncertified (its windows depend on one another)'}`,
          )
          .join(', ')}.`
  return `# Model card

**What it is for.** _To be written by its makers._

**Limits.** _To be written by its makers._

**What it takes.** ${made.fields.join(', ')}; ${made.window} reading${made.window === 1 ? '' : 's'} at a time.

**What it answered** to ${made.inferences} windows of ${made.readings} readings (${recordings.join(', ')}): median ${number(answers.p50)},
90 % below ${number(answers.p90)}, 99 % below ${number(answers.p99)}, 99.9 % below ${number(answers.p999)}, largest ${number(answers.max)}.

**Golden vectors.** ${golden.vectors} of those windows, within ${golden.tolerance}. The answers are those of ONNX Runtime on the machine where
this bundle was made: they prove that a device computes the same, not that it is right.

**Reference for drift.** ${drift}

SHA-256 of model.onnx: \`${sha256}\`
`
}

function number(value: number): string {
  return Number(value.toPrecision(4)).toString()
}
