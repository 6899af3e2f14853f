import type { Role } from '@godwit/hub/access/role'
import type { Box } from '../support/new-hub.ts'

export type TestPerson = { id: string; name: string; token: string }

/** A user of that hub, with an API token that is theirs. */
export async function person(box: Box, name: string, roles: readonly Role[]): Promise<TestPerson> {
  const { users, access } = box.hub.services
  const user = await users.create(name, roles, 'test')
  if (!user) throw new Error(`there is a ${name} already`)
  const { token } = await access.createToken({ name: 'laptop', roles, userId: user.id }, 'test')
  return { id: user.id, name, token }
}

export async function disable(box: Box, { id }: TestPerson): Promise<void> {
  await box.hub.services.users.disable(id, 'test')
}
