/** Every size and count on the wire, each with its reason (SPEC 9). Bytes unless the name says otherwise. */

/** Topic segments: fleet, device, slot, model. 64 keeps the longest topic under AWS IoT's 256 bytes. */
export const segmentLengthMax = 64

/** Root metadata. python-tuf's default; a root with hundreds of keys fits. */
export const rootBytesMax = 512_000
export const timestampBytesMax = 16_384
export const snapshotBytesMax = 2_000_000
/** Roughly 15,000 releases at 330 bytes each. */
export const targetsBytesMax = 5_000_000
/** Root versions a device follows in one refresh. */
export const rootRotationsMax = 256

/** A release document travels as one block, so it must fit one MQTT message of an unconfigured broker. */
export const releaseBytesMax = 262_144
export const filesPerReleaseMax = 256
export const blocksPerFileMax = 16_384
/** 64 KiB blocks stay below the 128 KiB that AWS IoT Core carries. */
export const blockBytesDefault = 65_536
export const blockBytesMin = 4_096
export const blockBytesMax = 1_048_576

/** A directive names at most 64 slots of one device. */
export const directiveBytesMax = 65_536
export const reportBytesMax = 65_536
export const birthBytesMax = 16_384
export const stateBytesMax = 1_024
export const ackBytesMax = 4_096
export const blockRequestBytesMax = 4_096
/** Blocks a device may ask for in one request, and therefore the most one request makes the hub publish. */
export const blocksPerRequestMax = 32

/** One telemetry batch: below AWS IoT Core's 128 KiB with room for the topic and the signature. */
export const batchBytesMax = 120_000
export const recordsPerBatchMax = 256

/** A device's clock may differ this much from the hub's before its access token is refused. */
export const tokenSkewMsMax = 10 * 60_000
export const tokenLifeMsMax = 60 * 60_000
