import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import type { Database } from '../store/database.ts'
import type { Audit } from '../trust/audit.ts'
import { type Accounts, createAccounts } from './accounts.ts'
import { createLogins, type Logins } from './logins.ts'

/** People: who they are, what they may do, and how they get in. */
export type Users = Accounts & Logins

export function createUsers(
  database: Database,
  clock: Clock,
  audit: Audit,
  settings: Pick<HubConfig['access'], 'sessionMs' | 'invitationMs'>,
): Users {
  return {
    ...createAccounts(database, clock, audit, settings),
    ...createLogins(database, clock, audit, settings),
  }
}
