import { type Profile, readProfile } from '@godwit/protocol/drift/profile'
import { fastestAlarmWindows } from '@godwit/protocol/drift/verdict'
import { release } from '@godwit/protocol/release/release'
import type { Blobs } from '../blobs/blobs.ts'
import type { Db } from '../store/database.ts'

/** The largest sound profile (256 features, 64 bins) is about 3 MB of JSON. */
const profileBytesMax = 8 * 2 ** 20
/** Releases that run at the same time on one fleet; a profile holds some kilobytes to a few megabytes. */
const profilesMax = 64

export type KnownProfile = {
  profile: Profile /** Windows before silence counts as quiet. */
  windowsNeeded: number
}

/** The reference profiles of releases, read once. A release never changes, so neither does what was read. */
export class Profiles {
  readonly #blobs: Blobs
  readonly #known = new Map<string, KnownProfile | null>()

  constructor(blobs: Blobs) {
    this.#blobs = blobs
  }

  /** Null: the release has none, or none that can be read. */
  async of(db: Db, releaseDigest: string): Promise<KnownProfile | null> {
    const known = this.#known.get(releaseDigest)
    if (known !== undefined) return known
    const row = await db
      .selectFrom('version')
      .select('release_json')
      .where('release_digest', '=', releaseDigest)
      .executeTakeFirst()
    // Not remembered: the version may still be uploaded.
    if (!row) return null
    const found = await this.#read(row.release_json)
    if (this.#known.size >= profilesMax) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(releaseDigest, found)
    return found
  }

  async #read(releaseJson: string): Promise<KnownProfile | null> {
    const read = release.check(JSON.parse(releaseJson))
    if (!read.ok || read.value.profile === undefined) return null
    const sha256 = read.value.files[read.value.profile]?.sha256
    const bytes = sha256 && (await this.#blobs.read(sha256, profileBytesMax))
    if (!bytes) return null
    const profile = readProfile(JSON.parse(new TextDecoder().decode(bytes)))
    if (!profile.ok) return null
    return { profile: profile.value, windowsNeeded: 2 * fastestAlarmWindows(profile.value) }
  }
}
