import { isOpen, localMoment, parseInstallWindow } from '@godwit/protocol/install-window'
import { describe, expect, test } from 'vitest'

function opened(...texts: string[]) {
  return texts.map((text) => {
    const window = parseInstallWindow(text)
    if (typeof window === 'string') throw new Error(window)
    return window
  })
}
/** Sunday is 0. */
const at = (weekday: number, hour: number, minute = 0) => ({ weekday, minute: hour * 60 + minute })

describe('an install window', () => {
  test('holds its first minute and not its last', () => {
    const night = opened('01:00-05:00')
    expect(isOpen(night, at(3, 0, 59))).toBe(false)
    expect(isOpen(night, at(3, 1))).toBe(true)
    expect(isOpen(night, at(3, 4, 59))).toBe(true)
    expect(isOpen(night, at(3, 5))).toBe(false)
  })

  test('over midnight belongs to the day it begins on', () => {
    const workNights = opened('Mon-Fri 22:00-05:00')
    expect(isOpen(workNights, at(5, 23))).toBe(true)
    expect(isOpen(workNights, at(6, 4))).toBe(true)
    expect(isOpen(workNights, at(6, 23))).toBe(false)
    expect(isOpen(workNights, at(0, 4))).toBe(false)
    expect(isOpen(workNights, at(1, 4))).toBe(false)
  })

  test('days may run over the end of the week', () => {
    const longWeekend = opened('Fri-Mon 00:00-24:00')
    const open = [0, 1, 2, 3, 4, 5, 6].map((weekday) => isOpen(longWeekend, at(weekday, 12)))
    expect(open).toEqual([true, true, false, false, false, true, true])
  })

  test('one of several is enough, and none at all is always', () => {
    expect(isOpen(opened('Sat 10:00-11:00', 'Wed 10:00-11:00'), at(3, 10, 30))).toBe(true)
    expect(isOpen([], at(3, 10, 30))).toBe(true)
  })

  test.each([
    ['22-05', /expected a window such as/],
    ['Mo 22:00-05:00', /expected a window such as/],
    ['22:00-24:30', /ends at 24:00/],
    ['24:00-05:00', /begins at 00:00/],
    ['05:00-05:00', /never open/],
  ])('%s is refused with a reason', (text, reason) => {
    expect(parseInstallWindow(text)).toMatch(reason)
  })
})

test('the time of day is that of the place, summer and winter', () => {
  const noonUtc = (date: string) => Date.parse(`${date}T12:00:00Z`)
  expect(localMoment(noonUtc('2026-07-01'), 'Europe/Berlin')).toEqual({ weekday: 3, minute: 14 * 60 })
  expect(localMoment(noonUtc('2026-12-01'), 'Europe/Berlin')).toEqual({ weekday: 2, minute: 13 * 60 })
  expect(localMoment(Date.parse('2026-12-01T15:30:00Z'), 'Asia/Tokyo')).toEqual({ weekday: 3, minute: 30 })
})
