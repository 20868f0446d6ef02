/** `meshbind inspect`: what a token says, how long it lasts and whom it is bound to. Its signature is NOT verified. */

import { Command, Option } from 'commander'
import { isRefusal } from '../decision/decision.ts'
import { type CertificateFacts, createCertificateReader } from '../evidence/certificate.ts'
import { badInput, CommandError, exitCode } from '../exit.ts'
import { readBoundedFile, readBoundedInput } from '../service/read-file.ts'
import { renderToken, showJson } from './inspect-text.ts'
import { inspectToken, type TokenReport } from './inspect-token.ts'
import { type Exit, examples, outputOption } from './options.ts'

const maxInputBytes = 64 * 1024

export function inspectCommand(exit: Exit): Command {
  return new Command('inspect')
    .exitOverride()
    .description(
      'Explain a token from standard input: header, claims, time left, bound to what. The signature is not verified. Exit code 1 if it has expired, would be refused, or does not match the certificate.',
    )
    .addOption(
      new Option('--certificate <file>', 'PEM; say whether the token belongs to the first in it'),
    )
    .addOption(outputOption())
    .allowExcessArguments()
    .addHelpText(
      'after',
      examples(
        'meshbind inspect < token.jwt',
        'meshbind inspect --certificate /run/tls/tls.crt < token.jwt',
        'meshbind inspect --output json < token.jwt',
      ),
    )
    .action(async ({ certificate, output }: InspectFlags, command: Command) => {
      if (command.args.length > 0) throw new CommandError(notAsArgument)
      const facts = certificate === undefined ? undefined : await readCertificate(certificate)
      const report = inspectToken(await readToken(), facts, Math.floor(Date.now() / 1000))
      process.stdout.write(output === 'json' ? `${showJson(report)}\n` : renderToken(report))
      exit(codeOf(report))
    })
}

interface InspectFlags {
  readonly certificate?: string
  readonly output: string
}

const notAsArgument =
  'A token is never taken as an argument: it would stand in the list of processes and in the shell’s history. Give it on standard input: meshbind inspect < token.jwt'

async function readToken(): Promise<string> {
  if (process.stdin.isTTY)
    process.stderr.write('Paste the token, then press Enter and Ctrl-D. (Or: < token.jwt)\n')
  const bytes = await readBoundedInput(maxInputBytes).catch(badInput)
  // As it may have been copied: with the header's name and the scheme.
  const token = bytes
    .toString('utf8')
    .trim()
    .replace(/^(?:authorization: *)?(?:bearer|dpop) +/i, '')
  if (token === '') throw new CommandError('standard input: is empty; meshbind inspect < token.jwt')
  return token
}

const pemBlock = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/

/** The first certificate of a PEM file, put into the spelling in which Envoy sends one. */
async function readCertificate(file: string): Promise<CertificateFacts> {
  const bytes = await readBoundedFile(file, maxInputBytes).catch(badInput)
  const base64 = pemBlock.exec(bytes.toString('latin1'))?.[1]?.replace(/\s/g, '')
  if (base64 === undefined) throw new CommandError(`${file}: holds no certificate in PEM`)
  const lines = base64.match(/.{1,64}/g) ?? []
  const pem = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  const facts = createCertificateReader().read(encodeURIComponent(pem))
  if (isRefusal(facts)) throw new CommandError(`${file}: ${facts.refused}: ${facts.detail}`)
  return facts
}

/** 2 for what is no token in the strict reading, 1 for one that would be refused. */
function codeOf({ readable, problems, certificate }: TokenReport): number {
  if (!readable) return exitCode.badInput
  const refused = certificate !== null && (certificate.matches === false || !certificate.valid)
  return refused || problems.length > 0 ? exitCode.no : exitCode.good
}
