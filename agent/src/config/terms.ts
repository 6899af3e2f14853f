import Type from 'typebox'

/** No key beyond those that are named. */
export const closed = { additionalProperties: false }

export const Ms = (standard: number, minimum: number, why: string) =>
  Type.Integer({ minimum, default: standard, description: `Milliseconds. ${why}` })
