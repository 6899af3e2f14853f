import { hindranceTo } from '@godwit/agent/control/deployment/hindrance'
import { parseInstallWindow } from '@godwit/protocol/install-window'
import { phases } from '@godwit/protocol/phase'
import { describe, expect, test } from 'vitest'

const window = (text: string) => {
  const parsed = parseInstallWindow(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}
const noon = { moment: { weekday: 3, minute: 12 * 60 }, isLocked: false }
const anyTime = { windows: [] }
const nights = { windows: [window('22:00-05:00')] }

describe('an install', () => {
  test('waits for the window of the device', () => {
    expect(hindranceTo('self_testing', nights, [], noon)).toMatchObject({ code: 'outside_window' })
    const night = { ...noon, moment: { weekday: 3, minute: 23 * 60 } }
    expect(hindranceTo('self_testing', nights, [], night)).toBeUndefined()
  })

  test('waits for the window of the directive as well', () => {
    expect(hindranceTo('self_testing', anyTime, [window('Sat 00:00-24:00')], noon)?.code).toBe(
      'outside_window',
    )
    expect(hindranceTo('self_testing', anyTime, [window('Wed 00:00-24:00')], noon)).toBeUndefined()
  })

  test('may fetch its bytes outside the window', () => {
    expect(hindranceTo('downloading', nights, [], noon)).toBeUndefined()
  })

  test('does not judge a window by a clock that is behind', () => {
    const lost = { ...noon, moment: undefined }
    expect(hindranceTo('self_testing', nights, [], lost)).toMatchObject({ code: 'clock_untrusted' })
    expect(hindranceTo('self_testing', anyTime, [], lost)).toBeUndefined()
  })

  test.each(['downloading', 'self_testing'] as const)(
    '%s waits while a user has locked the device',
    (phase) => {
      expect(hindranceTo(phase, anyTime, [], { ...noon, isLocked: true })).toMatchObject({ code: 'deferred' })
    },
  )

  test('waits on a battery that is too low, and not on mains', () => {
    const careful = { ...anyTime, batteryPercentMin: 30 }
    expect(hindranceTo('downloading', careful, [], { ...noon, batteryPercent: 29 })?.code).toBe('deferred')
    expect(hindranceTo('downloading', careful, [], { ...noon, batteryPercent: 30 })).toBeUndefined()
    expect(hindranceTo('downloading', careful, [], noon)).toBeUndefined()
  })

  test('waits while the board is hot', () => {
    const cool = { ...anyTime, temperatureCelsiusMax: 80 }
    expect(hindranceTo('self_testing', cool, [], { ...noon, temperatureCelsius: 81 })?.code).toBe('deferred')
    expect(hindranceTo('self_testing', cool, [], { ...noon, temperatureCelsius: 80 })).toBeUndefined()
  })

  test('is never held up once the swap has begun, nor on the way back', () => {
    const everything = { moment: undefined, isLocked: true, batteryPercent: 1, temperatureCelsius: 150 }
    const strict = { ...nights, batteryPercentMin: 99, temperatureCelsiusMax: 1 }
    const held = phases.filter((phase) => hindranceTo(phase, strict, [], everything))
    expect(held).toEqual(['downloading', 'self_testing'])
  })
})
