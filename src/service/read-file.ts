/** Reads files that an operator names: regular ones, bounded, never hanging on a pipe or a device. */

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** The bytes; throws with a message that names the file and what is wrong with it. */
export async function readBoundedFile(path: string, maxBytes: number): Promise<Buffer> {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw new Error(`${path}: ${reasonOf(error)}`)
    },
  )
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Error(`${path}: is not a regular file`)
    const buffer = Buffer.alloc(Math.min(found.size, maxBytes) + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length)
      if (bytesRead === 0) return buffer.subarray(0, length)
      length += bytesRead
    }
    if (length > maxBytes) throw new Error(`${path}: is over ${maxBytes} bytes`)
    throw new Error(`${path}: grew while it was read`)
  } finally {
    await file.close()
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What is not UTF-8 would be read as something else than was written. */
export function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Error(`${path}: is not UTF-8`)
  }
}

export async function readTextFile(path: string, maxBytes: number): Promise<string> {
  return decodeText(await readBoundedFile(path, maxBytes), path)
}

/** Standard input, bounded alike. */
export async function readBoundedInput(maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of process.stdin) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > maxBytes) throw new Error(`standard input: is over ${maxBytes} bytes`)
  }
  return Buffer.concat(chunks)
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such file'
  if (error.code === 'EACCES') return 'may not be read by this user'
  if (error.code === 'ELOOP') return 'is a loop of symbolic links'
  return error.code ?? error.message
}
