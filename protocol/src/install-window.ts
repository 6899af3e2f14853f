/**
 * When a device may install, in the wall-clock time of the place where it stands: `22:00-05:00` every day,
 * `Mon-Fri 22:00-05:00`, `Sat,Sun 00:00-24:00`. A window over midnight belongs to the day it begins on (SPEC 6.7).
 */
export type InstallWindow = { days: readonly boolean[]; fromMinute: number; toMinute: number }

/** Where a week stands: 0 is Sunday, as in `Date`; minutes since midnight. */
export type LocalMoment = { weekday: number; minute: number }

const dayNames = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const
const dayMinutes = 24 * 60

const time = '([01]\\d|2[0-4]):([0-5]\\d)'
const dayRange = `(?:${dayNames.join('|')})(?:-(?:${dayNames.join('|')}))?`
/** Enough for a schema to say no; `24:30` is for `parseInstallWindow` to find. */
export const installWindowPattern = `^(?:${dayRange}(?:,${dayRange})* )?${time}-${time}$`
const shape = new RegExp(`^(?:(${dayRange}(?:,${dayRange})*) )?${time}-${time}$`)

/** @returns the window, or what is wrong with the text */
export function parseInstallWindow(text: string): InstallWindow | string {
  const parts = shape.exec(text)
  if (!parts)
    return `expected a window such as "22:00-05:00" or "Mon-Fri 22:00-05:00", found ${JSON.stringify(text)}`
  const [, days, fromHour, fromMinutes, toHour, toMinutes] = parts
  const fromMinute = Number(fromHour) * 60 + Number(fromMinutes)
  const toMinute = Number(toHour) * 60 + Number(toMinutes)
  if (fromMinute >= dayMinutes || toMinute > dayMinutes)
    return `${JSON.stringify(text)}: a day begins at 00:00 and ends at 24:00`
  if (fromMinute === toMinute) return `${JSON.stringify(text)}: a window that begins as it ends is never open`
  return { days: daysOf(days), fromMinute, toMinute }
}

function daysOf(list: string | undefined): boolean[] {
  if (list === undefined) return dayNames.map(() => true)
  const open = dayNames.map(() => false)
  for (const range of list.split(',')) {
    const [first, last = first] = range.split('-') as [string, string?]
    const end = dayNames.indexOf(last as (typeof dayNames)[number])
    // Over the end of the week as well: Fri-Mon is four days.
    for (let day = dayNames.indexOf(first as (typeof dayNames)[number]); ; day = (day + 1) % 7) {
      open[day] = true
      if (day === end) break
    }
  }
  return open
}

/** Without windows it is always open. The last minute named is no longer in it. */
export function isOpen(windows: readonly InstallWindow[], { weekday, minute }: LocalMoment): boolean {
  if (windows.length === 0) return true
  const yesterday = (weekday + 6) % 7
  return windows.some(({ days, fromMinute, toMinute }) => {
    if (fromMinute < toMinute) return days[weekday] && minute >= fromMinute && minute < toMinute
    return (days[weekday] && minute >= fromMinute) || (days[yesterday] && minute < toMinute)
  })
}

/**
 * @param atMs epoch milliseconds
 * @param timeZone IANA name; the device's own when undefined
 * @throws RangeError when the runtime knows no such zone
 */
export function localMoment(atMs: number, timeZone?: string): LocalMoment {
  const options = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
  const format = new Intl.DateTimeFormat('en-US', { ...options, ...(timeZone !== undefined && { timeZone }) })
  const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]))
  return {
    weekday: dayNames.indexOf(parts['weekday'] as (typeof dayNames)[number]),
    minute: Number(parts['hour']) * 60 + Number(parts['minute']),
  }
}
