import { GroupCommit, SharedTransactions } from '@godwit/hub/store/group-commit'
import { describe, expect, test } from 'vitest'

function commits(waitMs = 1) {
  const groups: number[][] = []
  const transact = <T>(work: (trx: never) => Promise<T>) => work(undefined as never)
  const work = async (_: unknown, inputs: readonly number[]) => {
    groups.push([...inputs])
    if (inputs.includes(13)) throw new Error('13 cannot be stored')
    return inputs.map((input) => input * 10)
  }
  return { groups, commit: new GroupCommit<number, number>(transact as never, work, waitMs) }
}

describe('a group commit', () => {
  test('does what came together in one transaction and answers each its own', async () => {
    const { groups, commit } = commits()
    expect(await Promise.all([1, 2, 3].map((n) => commit.add(n)))).toEqual([10, 20, 30])
    expect(groups).toEqual([[1, 2, 3]])
  })

  test('does one that fails again alone, so that it takes nobody with it', async () => {
    const { commit } = commits()
    const answers = await Promise.allSettled([1, 13, 3].map((n) => commit.add(n)))
    expect(
      answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : answer.reason.message)),
    ).toEqual([10, '13 cannot be stored', 30])
  })

  test('goes on after a failure', async () => {
    const { commit } = commits()
    await expect(commit.add(13)).rejects.toThrow('13')
    expect(await commit.add(2)).toBe(20)
  })

  test('is flushed without waiting when the hub stops', async () => {
    const { commit } = commits(3_600_000)
    const answer = commit.add(4)
    await commit.flush()
    expect(await answer).toBe(40)
  })
})

describe('shared transactions', () => {
  test('commit together what comes together, and only the one that fails is undone', async () => {
    const done: string[] = []
    let begun = 0
    const transact = async <T>(work: (trx: never) => Promise<T>) => {
      begun++
      return work(undefined as never)
    }
    const shared = new SharedTransactions(transact as never, 1)
    const say = (word: string) => shared.run(async () => done.push(word) && word)
    expect(await Promise.all([say('a'), say('b'), say('c')])).toEqual(['a', 'b', 'c'])
    expect(begun).toBe(1)
    const fails = shared.run(async () => Promise.reject(new Error('no')))
    const [refused, said] = await Promise.allSettled([fails, say('d')])
    expect([refused.status, said]).toEqual(['rejected', { status: 'fulfilled', value: 'd' }])
  })
})
