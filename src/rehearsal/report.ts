/** THE LIST of reporters: each makes one text of the results. */

import { reportGithub } from './report-github.ts'
import { reportJson } from './report-json.ts'
import { reportJunit } from './report-junit.ts'
import { type Paint, reportText } from './report-text.ts'
import type { ReporterName } from './reporters.ts'
import type { Results } from './result.ts'

/** @param paint Colours the text for people; the others are for programs. */
export function writeReport(name: ReporterName, results: Results, paint: Paint): string {
  switch (name) {
    case 'text':
      return reportText(results, paint)
    case 'json':
      return reportJson(results)
    case 'junit':
      return reportJunit(results)
    case 'github':
      return reportGithub(results)
  }
}
