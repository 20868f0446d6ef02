/** One connection to a Redis server: opened, tried, watched, and given up once; where it leads and what may be told of it. */

import { createClient, ErrorReply } from '@redis/client'

export const replayPrefix = 'meshbind:replay:'
/** Since when the server remembers; a server that has lost its data has lost it, too. */
export const sinceName = 'meshbind:since'
/** Name resolution, TCP, TLS, AUTH and the first commands: all of them within this. */
const connectLimitMs = 2000
const heartbeatMs = 1000
/** A connection whose server has not answered a PING by then is given up. */
const silenceLimitMs = 1000
/** While the server hangs, commands that nobody waits for any more are kept until the connection is given up. */
const maxUnanswered = 10_000

export interface Connection {
  send(command: readonly string[]): Promise<unknown>
  end(cause: unknown): void
}

interface ConnectionEvents {
  /** @param since Unix seconds since when the server remembers. */
  onReady(since: number, warning: string | undefined): void
  /** Once, and nothing after it. */
  onEnd(problem: string): void
}

/**
 * One connection, and a client of its own for it. The library's own reconnecting is not used: it cannot be told to give
 * up a connection whose server is silent, and neither keepalive nor a socket's idle time ends one that is still being
 * written to.
 */
export function openConnection(
  server: Server,
  ca: string | undefined,
  clock: () => number,
  events: ConnectionEvents,
): Connection {
  /** `destroy` does not reach a socket that is still connecting. */
  const socketEnd = new AbortController()
  const common = { host: server.host, port: server.port, signal: socketEnd.signal }
  const attempt = { connectTimeout: connectLimitMs, reconnectStrategy: false } as const
  const client = createClient({
    // No HELLO: servers and proxies that do not know it answer with its arguments, the password among them.
    RESP: 2,
    maintNotifications: 'disabled',
    disableClientInfo: true,
    disableOfflineQueue: true,
    commandsQueueMaxLength: maxUnanswered,
    // The library's limit ends once a command is written; `within` is the limit here.
    commandOptions: { timeout: 0 },
    ...server.login,
    socket: server.tls
      ? { ...common, ...attempt, tls: true, rejectUnauthorized: true, ...(ca && { ca }) }
      : { ...common, ...attempt },
  })
  let ended = false
  let heartbeat: NodeJS.Timeout | undefined

  const send = (command: readonly string[]): Promise<unknown> => client.sendCommand(command)

  function end(cause: unknown): void {
    if (ended) return
    ended = true
    clearTimeout(heartbeat)
    socketEnd.abort()
    client.destroy()
    events.onEnd(textOf(cause))
  }

  function watch(): void {
    if (ended) return
    heartbeat = setTimeout(
      () => within(silenceLimitMs, send(['PING'])).then(watch, end),
      heartbeatMs,
    ).unref()
  }

  async function begin(): Promise<void> {
    await client.connect()
    const since = await readSince()
    const warning = evictionWarning(await send(['INFO', 'memory']).catch(() => undefined))
    if (ended) return
    events.onReady(since, warning)
    watch()
  }

  /**
   * A mark that only a server which has kept its data still has. It is also the command that shows what a login may do:
   * a replica, or one without rights, refuses it.
   */
  async function readSince(): Promise<number> {
    const now = clock()
    await send(['SET', sinceName, String(now), 'NX']).catch((error) => {
      if (!isOutOfMemory(error)) throw error
    })
    const since = await send(['GET', sinceName])
    return typeof since === 'string' && /^\d{1,12}$/.test(since) ? Number(since) : now
  }

  // For ever: what a destroyed client still has to say must not end the process.
  client.on('error', end)
  within(connectLimitMs, begin()).catch(end)
  return { send, end }
}

function evictionWarning(memory: unknown): string | undefined {
  const value = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(String(memory))?.[1]
  const policy = value('maxmemory_policy') ?? 'noeviction'
  if (policy === 'noeviction' || (value('maxmemory') ?? '0') === '0') return undefined
  return `maxmemory-policy is ${policy}: the server may forget spent proofs; set noeviction`
}

/** Settles as the work does, or rejects; what comes later is dropped. */
export function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = () => reject(new Error(`no answer within ${limitMs} ms`))
    // After a pause of this process both are due, the timer and an answer that came in time: the answer is read first.
    const timer = setTimeout(() => setImmediate(expire), limitMs).unref()
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** The server's own word, in contrast to a broken or silent connection. */
export function isErrorReply(error: unknown): boolean {
  return error instanceof ErrorReply
}

export function isOutOfMemory(error: unknown): boolean {
  return error instanceof ErrorReply && error.message.startsWith('OOM ')
}

/** Where a name has several addresses, the error has no message of its own. */
function textOf(error: unknown): string {
  const { message, code } = error as { readonly message?: string; readonly code?: string }
  return message || code || 'unknown error'
}

export interface Server {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  readonly login: {
    readonly username?: string
    readonly password?: string
    readonly database?: number
  }
}

export function readUrl(text: string): Server {
  try {
    const url = new URL(text)
    const database = /^\/?(\d{0,5})$/.exec(url.pathname)?.[1]
    if (!['redis:', 'rediss:'].includes(url.protocol) || database === undefined) throw new Error()
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost',
      port: Number(url.port || 6379),
      tls: url.protocol === 'rediss:',
      login: {
        ...(url.username && { username: decodeURIComponent(url.username) }),
        ...(url.password && { password: decodeURIComponent(url.password) }),
        ...(database && { database: Number(database) }),
      },
    }
  } catch {
    // Its own error, or one with a cause, would carry the URL and so the password.
    throw new Error('not a URL such as rediss://user:password@host:6379/0')
  }
}

export function withoutSecrets(text: string, { login }: Server): string {
  return [login.password, login.username]
    .filter((secret) => secret !== undefined)
    .toSorted((a, b) => b.length - a.length)
    .reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
}
