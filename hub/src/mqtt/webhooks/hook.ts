import type { Decisions } from '../external-broker.ts'

/** What a broker sent, as names and values; all of it is anybody's text until it has been looked at. */
export type Asked = Record<string, unknown>
export type Answer = { status: number; body: string | object }
export type Denial = { clientId: string | undefined; because: string; detail: string }

/** One question of one kind of broker. `deny` is also said when the hub fails, or the secret is wrong. */
export type Hook = {
  /** A denied client, for the record; undefined: allowed. */
  ask(decisions: Decisions, asked: Asked): Promise<{ answer: Answer; denial?: Denial }>
  deny: Answer
}

export function text(asked: Asked, name: string): string | undefined {
  const value = asked[name]
  return typeof value === 'string' ? value : undefined
}

/** Templates make text of everything: "1", "true". Anything else that is not clearly no is a yes. */
export function flag(asked: Asked, name: string): boolean {
  const value = asked[name]
  return !(value === undefined || value === false || value === 0 || value === 'false' || value === '0')
}

/** A question with yes or no for an answer. */
export function yesOrNo(
  allow: Answer,
  deny: Answer,
  decide: (decisions: Decisions, asked: Asked) => Promise<true | Denial>,
): Hook {
  return {
    deny,
    async ask(decisions, asked) {
      const decided = await decide(decisions, asked)
      return decided === true ? { answer: allow } : { answer: deny, denial: decided }
    },
  }
}

export const refusedLogin = (clientId: string | undefined): Denial => ({
  clientId,
  because: 'not_authenticated',
  detail: `${clientId ?? 'a client without id'} gave no token of an enrolled device`,
})

export const refusedPublish = (clientId: string | undefined, topic: string | undefined): Denial => ({
  clientId,
  because: 'not_authorised',
  detail: `${clientId} may not publish on ${topic}`,
})

export const refusedSubscribe = (clientId: string | undefined, filter: string | undefined): Denial => ({
  clientId,
  because: 'not_authorised',
  detail: `${clientId} may not subscribe to ${filter}`,
})

/** JSON objects and forms are questions; anything else asks nothing, and gets the answer to that. */
export function askedOf(body: unknown): Asked {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Asked) : {}
}
