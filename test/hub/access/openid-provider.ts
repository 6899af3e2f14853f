import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>
type Pending = { nonce: string; challenge: string; redirectUri: string }

/** The other party: an OpenID provider that knows one person, and can be told to lie about anything. */
export class OpenIdProvider {
  readonly #server: Server
  readonly #keys: KeyPair
  readonly #pending = new Map<string, Pending>()
  readonly clientId = 'godwit'
  person: Record<string, unknown> = { sub: 'u-1', preferred_username: 'ana', groups: ['plant-operators'] }
  /** Changes the identity token before it is signed. */
  lie: JWTPayload = {}
  signs: 'own-key' | 'other-key' | 'not-at-all' = 'own-key'

  private constructor(server: Server, keys: KeyPair) {
    this.#server = server
    this.#keys = keys
    server.on('request', (request, response) => {
      void this.#answer(request).then(({ status = 200, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(body))
      })
    })
  }

  static async start(): Promise<OpenIdProvider> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new OpenIdProvider(server, await generateKeyPair('ES256', { extractable: true }))
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What a person does there: logs in and agrees. Answers the query that the browser is sent back with. */
  consent(authorizationUrl: string): URLSearchParams {
    const { searchParams } = new URL(authorizationUrl)
    const code = randomUUID()
    this.#pending.set(code, {
      nonce: searchParams.get('nonce')!,
      challenge: searchParams.get('code_challenge')!,
      redirectUri: searchParams.get('redirect_uri')!,
    })
    return new URLSearchParams({ code, state: searchParams.get('state')!, iss: this.issuer })
  }

  async #answer(request: IncomingMessage): Promise<{ status?: number; body: unknown }> {
    const { issuer } = this
    if (request.url === '/.well-known/openid-configuration')
      return {
        body: {
          ...{ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` },
          ...{
            jwks_uri: `${issuer}/jwks`,
            response_types_supported: ['code'],
            subject_types_supported: ['public'],
          },
          id_token_signing_alg_values_supported: ['ES256'],
          authorization_response_iss_parameter_supported: true,
        },
      }
    if (request.url === '/jwks')
      return { body: { keys: [{ ...(await exportJWK(this.#keys.publicKey)), alg: 'ES256' }] } }
    if (request.url !== '/token') return { status: 404, body: {} }
    const form = new URLSearchParams(await textOf(request))
    const code = form.get('code') ?? ''
    const pending = this.#pending.get(code)
    // A code is good once (RFC 6749, 4.1.2), and only for who holds the verifier (RFC 7636).
    this.#pending.delete(code)
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    if (!pending || pending.challenge !== challenge || pending.redirectUri !== form.get('redirect_uri'))
      return { status: 400, body: { error: 'invalid_grant' } }
    const claims = { ...this.person, nonce: pending.nonce, ...this.lie }
    const idToken = await this.#signed(claims)
    return { body: { access_token: 'unused', token_type: 'Bearer', expires_in: 60, id_token: idToken } }
  }

  async #signed(claims: JWTPayload): Promise<string> {
    const { iss = this.issuer, aud = this.clientId } = claims
    const whole = { ...claims, iss, aud }
    if (this.signs === 'not-at-all')
      return new UnsecuredJWT(whole).setIssuedAt().setExpirationTime('1m').encode()
    const { privateKey } = this.signs === 'own-key' ? this.#keys : await generateKeyPair('ES256')
    const token = new SignJWT(whole).setProtectedHeader({ alg: 'ES256' }).setIssuedAt()
    return (claims.exp === undefined ? token.setExpirationTime('1m') : token).sign(privateKey)
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of request) text += String(part)
  return text
}
