import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Fault } from '@godwit/protocol/fault'
import type { Configuration } from 'openid-client'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import type { Introduction } from './logins.ts'
import type { Role } from './role.ts'
import { newSecret } from './secret.ts'
import { isUserName } from './user.ts'

type Settings = NonNullable<HubConfig['access']['oidc']>

/** From the click to the way back; people type a password and a second factor in it. */
const roundTripMs = 10 * 60_000
/** Logins that were begun and not ended: anybody may begin one. */
const begunMax = 1_000
const answerMsMax = 10_000

/** What this hub must remember of a login between the way out and the way back. */
type Begun = { verifier: string; state: string; nonce: string; at: number }

export type OidcRefusal =
  | 'not_begun'
  | 'refused_by_provider'
  | 'answer_not_valid'
  | 'name_not_usable'
  | 'email_not_verified'
export type OidcVerdict =
  | { known: true; introduction: Introduction }
  | { known: false; because: OidcRefusal; detail: string }

/** Logs people in through an OpenID provider: authorization code with PKCE, state and nonce, each used once. */
export class Oidc {
  readonly label: string
  readonly #settings: Settings
  readonly #redirectUri: () => string
  readonly #clock: Clock
  readonly #begun = new Map<string, Begun>()
  #found: Promise<Configuration> | undefined

  constructor(settings: Settings, redirectUri: () => string, clock: Clock) {
    this.label = settings.label
    this.#settings = settings
    this.#redirectUri = redirectUri
    this.#clock = clock
  }

  /**
   * @returns the provider's address to go to, and what the browser must bring back beside the answer: without that
   * cookie, somebody could make another person's browser finish a login that is theirs
   */
  async begin(): Promise<{ url: string; cookie: string }> {
    const { buildAuthorizationUrl } = await import('openid-client')
    const cookie = newSecret()
    const [verifier, state, nonce] = [randomText(), randomText(), randomText()]
    const url = buildAuthorizationUrl(await this.#configuration(), {
      redirect_uri: this.#redirectUri(),
      scope: this.#settings.scopes,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      state,
      nonce,
    })
    this.#remember(cookie, { verifier, state, nonce, at: this.#clock() })
    return { url: url.href, cookie }
  }

  /** @param query what the provider sent the browser back with, without the `?` */
  async finish(cookie: string | undefined, query: string): Promise<OidcVerdict> {
    const begun = cookie === undefined ? undefined : this.#begun.get(cookie)
    if (cookie !== undefined) this.#begun.delete(cookie)
    if (!begun || this.#clock() - begun.at > roundTripMs)
      return refused('not_begun', 'this login was not begun in this browser, or too long ago')
    const { authorizationCodeGrant, AuthorizationResponseError } = await import('openid-client')
    try {
      const answer = await authorizationCodeGrant(
        await this.#configuration(),
        new URL(`${this.#redirectUri()}?${query}`),
        {
          pkceCodeVerifier: begun.verifier,
          expectedState: begun.state,
          expectedNonce: begun.nonce,
          idTokenExpected: true,
        },
      )
      return this.#introductionOf(answer.claims()!)
    } catch (error) {
      const because = error instanceof AuthorizationResponseError ? 'refused_by_provider' : 'answer_not_valid'
      return refused(because, (error as Error).message)
    }
  }

  #introductionOf(claims: { iss: string; sub: string; [claim: string]: unknown }): OidcVerdict {
    const { nameClaim, rolesClaim, roles: map } = this.#settings
    const name = claims[nameClaim]
    if (!isUserName(name))
      return refused('name_not_usable', `the claim ${nameClaim} holds no name that can be used here`)
    // An address that nobody proved is whatever its owner typed, somebody else's included.
    if ([nameClaim, rolesClaim].includes('email') && claims['email_verified'] !== true)
      return refused('email_not_verified', 'the provider does not say that it verified the address')
    const values = [claims[rolesClaim]].flat().filter((value) => typeof value === 'string')
    const roles = values.flatMap((value) => (Object.hasOwn(map, value) ? map[value]! : []))
    const { iss: issuer, sub: subject } = claims
    return { known: true, introduction: { issuer, subject, name, roles: [...new Set<Role>(roles)].sort() } }
  }

  #remember(cookie: string, begun: Begun): void {
    this.#begun.set(cookie, begun)
    if (this.#begun.size > begunMax) this.#begun.delete(this.#begun.keys().next().value!)
  }

  /** Asked of the provider once; again after a failure, so that it may start later than this hub. */
  #configuration(): Promise<Configuration> {
    this.#found ??= this.#discover().catch((error) => {
      this.#found = undefined
      throw error
    })
    return this.#found
  }

  async #discover(): Promise<Configuration> {
    const { issuer, clientId, clientSecretFile } = this.#settings
    const { allowInsecureRequests, discovery, enableNonRepudiationChecks, None } = await import(
      'openid-client'
    )
    const secret = clientSecretFile === undefined ? undefined : secretIn(clientSecretFile)
    const url = new URL(issuer)
    // The configuration allows plain http for loopback alone.
    const options = {
      timeout: answerMsMax / 1_000,
      // TLS to the provider would do by the specification; a signature that is checked needs no such trust.
      execute: [enableNonRepudiationChecks, ...(url.protocol === 'http:' ? [allowInsecureRequests] : [])],
    }
    try {
      return await discovery(url, clientId, secret, secret === undefined ? None() : undefined, options)
    } catch (cause) {
      throw new Fault(
        'not-ready',
        `the OpenID provider ${issuer} does not answer: ${(cause as Error).message}`,
        {
          cause,
        },
      )
    }
  }
}

function secretIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new Fault('not-ready', `access.oidc.clientSecretFile: ${(cause as Error).message}`, { cause })
  }
}

function refused(because: OidcRefusal, detail: string): OidcVerdict {
  return { known: false, because, detail }
}

function randomText(): string {
  return randomBytes(32).toString('base64url')
}
