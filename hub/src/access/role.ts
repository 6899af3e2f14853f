export const roles = ['viewer', 'operator', 'publisher', 'approver', 'admin'] as const
/**
 * What somebody may do; a person may have several. Everybody views; an operator moves devices and rollouts, a publisher
 * enters versions, an approver lets rollouts of others begin; an admin does all of it and decides who else does.
 */
export type Role = (typeof roles)[number]

export function isRole(text: string): text is Role {
  return (roles as readonly string[]).includes(text)
}

/**
 * What a token may do of that what its roles allow: `read`, `operate`, `approve`, `publish`, or `publish:PATTERN` for
 * models whose names fit, with `*` for any characters. A token without scopes may do all that its roles allow.
 */
export type Scope = string
export const scopePattern = '^(read|operate|approve|publish(:[A-Za-z0-9_*-]{1,64})?)$'

export type Powers = { roles: readonly Role[]; scopes?: readonly Scope[] }

const scopeOf: Record<Exclude<Role, 'admin'>, string> = {
  viewer: 'read',
  operator: 'operate',
  publisher: 'publish',
  approver: 'approve',
}

export function mayAct({ roles: held, scopes }: Powers, needed: Role): boolean {
  if (held.length === 0) return false
  const isAllowed = needed === 'viewer' || held.includes('admin') || held.includes(needed)
  if (!isAllowed || scopes === undefined) return isAllowed
  // Whoever may change something may look at it; who else may do so is nothing that a narrowed token decides.
  if (needed === 'viewer') return scopes.length > 0
  if (needed === 'admin') return false
  return scopes.some((scope) => scope === scopeOf[needed] || scope.startsWith(`${scopeOf[needed]}:`))
}

/** For the routes that name a model; which of them need the role at all is said there. */
export function mayPublish({ scopes }: Powers, model: string): boolean {
  return scopes === undefined || scopes.some((scope) => scope === 'publish' || fits(scope, model))
}

function fits(scope: Scope, model: string): boolean {
  if (!scope.startsWith('publish:')) return false
  const parts = scope.slice('publish:'.length).split('*')
  const [first = '', ...rest] = parts
  if (rest.length === 0) return model === first
  const last = rest.pop()!
  if (!model.startsWith(first) || !model.endsWith(last) || model.length < first.length + last.length)
    return false
  // By hand and not by a regular expression made of somebody's text: no pattern may take long.
  let at = first.length
  for (const part of rest) {
    const found = model.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= model.length - last.length
}

/** What both have: a token never does more than the person it belongs to. */
export function commonRoles(token: readonly Role[], person: readonly Role[]): Role[] {
  if (person.includes('admin')) return [...token]
  if (token.includes('admin')) return [...person]
  const common = token.filter((role) => person.includes(role))
  // Every role views, so that is what two different ones have in common.
  return common.length > 0 || person.length === 0 || token.length === 0 ? common : ['viewer']
}
