import { MetadataInbox } from '@godwit/agent/control/trust/inbox'
import { targetsBytesMax } from '@godwit/protocol/limits'
import { topics } from '@godwit/protocol/topics'
import { expect, test } from 'vitest'

const bytes = (version: number) =>
  new TextEncoder().encode(JSON.stringify({ signed: { version }, signatures: [] }))
const timestamp = topics.meta('f', 'timestamp')

test('a retained timestamp that comes behind a newer one does not take its place', () => {
  const inbox = new MetadataInbox()
  expect(inbox.put(timestamp, bytes(7))).toBe(true)
  expect(inbox.put(timestamp, bytes(6))).toBe(false)
  expect(inbox.get('timestamp')).toEqual(bytes(7))
  expect(inbox.put(timestamp, bytes(8))).toBe(true)
  expect(inbox.get('timestamp')).toEqual(bytes(8))
})

test('a timestamp that claims to come from the future blocks others no longer than the connection lasts', () => {
  const inbox = new MetadataInbox()
  inbox.put(timestamp, bytes(1_000_000))
  inbox.clear()
  expect(inbox.put(timestamp, bytes(2))).toBe(true)
})

test('an empty message clears a retained document and is none', () => {
  const inbox = new MetadataInbox()
  expect(inbox.put(topics.meta('f', 'targets', 3), new Uint8Array())).toBe(false)
  expect(inbox.get('targets', 3)).toBeUndefined()
})

test('a role that is called as every JavaScript object answers is as long as any other at most', () => {
  const inbox = new MetadataInbox()
  for (const role of ['constructor', '__proto__', 'factory'])
    expect(inbox.put(topics.meta('f', role, 1), new Uint8Array(targetsBytesMax + 1)), role).toBe(false)
})
