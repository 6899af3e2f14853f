/** What a runtime says it was built with. `bundled: false` means that more has to be installed beside it. */
export type Backend = { name: string; bundled: boolean }

/**
 * Execution providers worth trying here. Asking ONNX Runtime for one that is not there throws instead of falling
 * back, prints to stderr, and after a failed WebGPU start the process ends in a segmentation fault (seen with 1.27).
 *
 * @param exists looks for a provider's shared library beside the runtime's own
 * @param hasGpuNode says whether the kernel offers a GPU at all; Vulkan, and so WebGPU on Linux, needs one
 */
export function usableProviders(
  listed: readonly Backend[],
  platform: NodeJS.Platform,
  exists: (library: string) => boolean,
  hasGpuNode: () => boolean,
): string[] {
  const isUsable = ({ name, bundled }: Backend): boolean => {
    if (name === 'webgpu' && platform === 'linux') return hasGpuNode()
    return bundled || exists(libraryOf(name, platform))
  }
  return listed.filter(isUsable).map(({ name }) => name)
}

function libraryOf(provider: string, platform: NodeJS.Platform): string {
  if (platform === 'win32') return `onnxruntime_providers_${provider}.dll`
  return `libonnxruntime_providers_${provider}.${platform === 'darwin' ? 'dylib' : 'so'}`
}

/** Those asked for that can run here, in the order asked for. */
export function providersToTry(asked: readonly string[], usable: readonly string[]): string[] {
  return [...new Set(asked)].filter((name) => usable.includes(name))
}

/** Whether any node ran where it was asked to; a fused graph counts as one. */
export function isPlacedOn(nodes: Readonly<Record<string, number>>, provider: string): boolean {
  return (nodes[provider] ?? 0) > 0
}
