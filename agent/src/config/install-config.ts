import { localMoment, parseInstallWindow } from '@godwit/protocol/install-window'
import Type, { type Static } from 'typebox'
import { closed } from './terms.ts'

export const InstallSchema = Type.Object(
  {
    windows: Type.Array(Type.String({ maxLength: 64 }), {
      default: [],
      maxItems: 16,
      description:
        'When a candidate may be tested and activated, such as `Mon-Fri 22:00-05:00`; empty: at any time. A rollout may narrow it.',
    }),
    timeZone: Type.Optional(
      Type.String({ description: 'IANA name, such as `Europe/Berlin`; absent: the zone of the system.' }),
    ),
    lockFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'While this file is there, nothing is downloaded or installed. Going back is never locked.',
      }),
    ),
    batteryPercentMin: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Percent. On battery below it, installs wait.',
      }),
    ),
    temperatureCelsiusMax: Type.Optional(
      Type.Number({ description: 'Degrees Celsius. When the hottest zone is above it, installs wait.' }),
    ),
  },
  { ...closed, default: {} },
)

export function mistakesOfInstall({ windows, timeZone }: Static<typeof InstallSchema>): string[] {
  const flaws = windows.map(parseInstallWindow).filter((window) => typeof window === 'string')
  const mistakes = flaws.map((flaw) => `\`install.windows\`: ${flaw}`)
  try {
    if (timeZone !== undefined) localMoment(0, timeZone)
  } catch {
    mistakes.push(
      `\`install.timeZone\`: expected a name such as Europe/Berlin, found ${JSON.stringify(timeZone)}`,
    )
  }
  return mistakes
}
