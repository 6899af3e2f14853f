/** Why something was not trusted. A closed list: machines act on it, so a code never changes its meaning. */
export type Refusal =
  | 'malformed'
  | 'wrong-type'
  | 'wrong-spec-version'
  | 'unknown-role'
  | 'bad-signature'
  | 'version-mismatch'
  | 'rollback'
  | 'expired'
  | 'not-yet-valid'
  | 'life-exceeded'
  | 'hash-mismatch'
  | 'length-mismatch'
  | 'length-exceeded'
  | 'absent'
  | 'not-listed'
  | 'wrong-fleet'
  | 'wrong-device'
  | 'wrong-audience'
  | 'wrong-passphrase'

/** `detail` names the thing, the expectation and what was found. */
export type Refused = { trusted: false; because: Refusal; detail: string }
export type Verdict<T> = { trusted: true; value: T } | Refused

export function refuse(because: Refusal, detail: string): Refused {
  return { trusted: false, because, detail }
}

export function accept<T>(value: T): Verdict<T> {
  return { trusted: true, value }
}
