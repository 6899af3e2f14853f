/** Fields of ONNX's ModelProto and the wire type that each has (0 varint, 2 length-delimited). */
const modelFields: Record<number, 0 | 2> = {
  1: 0, // ir_version
  2: 2, // producer_name
  3: 2, // producer_version
  4: 2, // domain
  5: 0, // model_version
  6: 2, // doc_string
  7: 2, // graph
  8: 2, // opset_import
  14: 2, // metadata_props
  20: 2, // training_info
  25: 2, // functions
  26: 2, // configuration
}

/**
 * Is this, from the first byte to the last, the outside of a ModelProto? Protocol buffers skip fields they do not
 * know, so a decoder alone calls a text file or a padded model valid. Undefined when nothing is wrong.
 */
export function flawOfModelBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'is empty'
  if (startsWith(bytes, 'version https://git-lfs')) {
    return 'is a Git LFS pointer, not the model: run `git lfs pull` where it comes from'
  }
  let at = 0
  let graphs = 0
  while (at < bytes.length) {
    const start = at
    const tag = readVarint(bytes, at)
    if (!tag) return `is cut off at byte ${start}`
    at = tag.next
    const field = tag.value >>> 3
    if (modelFields[field] === undefined || modelFields[field] !== (tag.value & 7)) {
      return start === 0
        ? 'is no ONNX model: its first bytes are no field of one'
        : `holds something that is no ONNX from byte ${start} on: it was padded, joined or damaged`
    }
    const value = readVarint(bytes, at)
    if (!value) return `is cut off at byte ${at}`
    at = value.next
    if ((tag.value & 7) === 0) continue
    if (value.value > bytes.length - at) {
      return `is cut off: a part of ${value.value} bytes begins at byte ${at}, and ${bytes.length - at} are left`
    }
    at += value.value
    if (field === 7) graphs++
  }
  if (graphs === 0) return 'has no graph'
  // A decoder merges the two, and which one runs depends on the decoder.
  return graphs > 1 ? `has ${graphs} graphs: two files were joined` : undefined
}

/** Values beyond 2^53 lose digits, which is of no matter for a length that no file has. */
function readVarint(bytes: Uint8Array, at: number): { value: number; next: number } | undefined {
  let value = 0
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) return undefined
    value += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return { value, next: at + i + 1 }
  }
  return undefined
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return text.length <= bytes.length && [...text].every((c, i) => bytes[i] === c.charCodeAt(0))
}
