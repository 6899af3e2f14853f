import { expect, test } from 'vitest'
import { refused, Victim } from './victim.ts'

/** TUF's name for making a client take along what it never asked for: here, releases that a team has no say over. */
test('a team that may release vision models releases nothing else, however well it signs', async () => {
  const victim = new Victim()
  victim.repository.delegate('targets', 'vision', { paths: ['vision-*/*/release.json'] })
  const own = victim.lists('vision-cats', '1', 'cats', 'vision')
  const foreign = victim.lists('valve', '9', 'not theirs', 'vision')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.finds(own)).toMatchObject({ trusted: true })
  expect(await victim.finds(foreign)).toMatchObject(refused('not-listed'))
})

test('a team cannot hand on what it was given, beyond its own prefix', async () => {
  const victim = new Victim()
  victim.repository.delegate('targets', 'vision', { paths: ['vision-*/*/release.json'] })
  victim.repository.delegate('vision', 'friends', { paths: ['*/*/release.json'] })
  const foreign = victim.lists('valve', '9', 'not theirs', 'friends')
  victim.repository.publish()
  await victim.hears()
  expect(await victim.finds(foreign)).toMatchObject(refused('not-listed'))
})
