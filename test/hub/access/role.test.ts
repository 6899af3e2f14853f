import { commonRoles, mayAct, mayPublish, type Role, roles } from '@godwit/hub/access/role'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

describe('a role', () => {
  test('views, and does its own', () => {
    const able = (held: Role) => roles.filter((needed) => mayAct({ roles: [held] }, needed))
    expect(able('viewer')).toEqual(['viewer'])
    expect(able('operator')).toEqual(['viewer', 'operator'])
    expect(able('publisher')).toEqual(['viewer', 'publisher'])
    expect(able('approver')).toEqual(['viewer', 'approver'])
    expect(able('admin')).toEqual([...roles])
    expect(mayAct({ roles: [] }, 'viewer')).toBe(false)
  })
})

describe('scopes', () => {
  test('take away, and never give', () => {
    const narrowed = { roles: ['viewer', 'operator'] as const, scopes: ['read', 'publish', 'approve'] }
    expect(roles.filter((needed) => mayAct(narrowed, needed))).toEqual(['viewer'])
    const ci = { roles: ['publisher'] as const, scopes: ['publish:kettle-*'] }
    expect(roles.filter((needed) => mayAct(ci, needed))).toEqual(['viewer', 'publisher'])
  })

  test('no scope makes a token an administrator', () => {
    expect(mayAct({ roles: ['admin'], scopes: ['read', 'operate', 'approve', 'publish'] }, 'admin')).toBe(
      false,
    )
  })

  test.each([
    ['publish:kettle-*', 'kettle-large', true],
    ['publish:kettle-*', 'kettle-', true],
    ['publish:kettle-*', 'kettle', false],
    ['publish:kettle-*', 'a-kettle-large', false],
    ['publish:*-vision', 'gate-vision', true],
    ['publish:a*b*a', 'aba', true],
    ['publish:a*b*a', 'aa', false],
    ['publish:a*a', 'a', false],
    ['publish:kettle', 'kettle', true],
    ['publish', 'anything', true],
    ['operate', 'anything', false],
  ])('%s on the model %s: %s', (scope, model, isAllowed) => {
    expect(mayPublish({ roles: ['publisher'], scopes: [scope] }, model)).toBe(isAllowed)
  })

  test('a pattern fits what a regular expression of it would', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '-'), maxLength: 8 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*'), minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(pattern, name, (text, model) => {
        const expected = new RegExp(`^${text.replaceAll('*', '.*')}$`).test(model)
        expect(mayPublish({ roles: ['publisher'], scopes: [`publish:${text}`] }, model)).toBe(expected)
      }),
    )
  })
})

test('a token does no more than its token and its owner both may', () => {
  expect(commonRoles(['operator', 'publisher'], ['viewer', 'operator'])).toEqual(['operator'])
  expect(commonRoles(['admin'], ['operator', 'approver'])).toEqual(['operator', 'approver'])
  expect(commonRoles(['publisher'], ['admin'])).toEqual(['publisher'])
  expect(commonRoles(['publisher'], ['operator'])).toEqual(['viewer'])
  expect(commonRoles(['admin'], [])).toEqual([])
})
