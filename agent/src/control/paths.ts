import { join } from 'node:path'

/** Where everything lies below the state directory. Names that come from outside are checked before they get here. */
export type Paths = ReturnType<typeof pathsIn>

export function pathsIn(stateDir: string) {
  return {
    root: stateDir,
    database: join(stateDir, 'agent.db'),
    deviceKey: join(stateDir, 'device-key.json'),
    /** Made for a rotation that is not over: the hub may know it already, so it is not thrown away. */
    nextDeviceKey: join(stateDir, 'device-key.next.json'),
    /** Somebody asked for another key: done at the next chance, and then removed. */
    rotateKeyAsked: join(stateDir, 'rotate-key.asked'),
    enrolment: join(stateDir, 'enrolment.json'),
    /** For TLS, by the hub's own authority: key and certificate in one, so that they always fit. */
    clientCertificate: join(stateDir, 'client-certificate.pem'),
    /** Held while an agent runs: two agents on one state directory would both believe their sequence numbers. */
    lock: join(stateDir, 'agent.lock'),
    /** Runner processes that are alive, for a control that finds them orphaned. */
    runners: join(stateDir, 'runners.json'),
    trust: join(stateDir, 'trust'),
    /** The directive last applied, as received: its version is a floor that must outlive the database. */
    directive: join(stateDir, 'directive.json'),
    blobs: join(stateDir, 'blobs'),
    blob: (sha256: string) => join(stateDir, 'blobs', sha256),
    part: (sha256: string) => join(stateDir, 'blobs', `${sha256}.part`),
    releases: join(stateDir, 'releases'),
    staged: (releaseDigest: string) => join(stateDir, 'releases', releaseDigest),
    slots: join(stateDir, 'slots'),
    pointer: (slot: string) => join(stateDir, 'slots', `${slot}.json`),
  }
}
