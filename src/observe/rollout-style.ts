/** The look of the rollout page: light and dark by the reader's own setting, readable down to a phone's width. */

export const rolloutStyle = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b2330; --soft: #4d586a; --line: #d7dce4; --link: #0b57b0;
  --good: #12683a; --good-back: #e3f3e9; --bad: #a3231b; --bad-back: #fbe7e5;
  --warn: #7a4a00; --warn-back: #fdf0d8; --calm: #445065; --calm-back: #e9edf3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151b; --card: #1a2029; --text: #e7ebf1; --soft: #a9b4c4; --line: #343e4d; --link: #86b8ff;
    --good: #7fd8a2; --good-back: #16321f; --bad: #ff9c93; --bad-back: #431c1a;
    --warn: #f3c26b; --warn-back: #3a2c10; --calm: #b8c4d6; --calm-back: #27303d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.5rem; }
footer { padding: 1rem 1.5rem 3rem; color: var(--soft); font-size: .875rem; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; letter-spacing: -.01em; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem; line-height: 1.3; }
h3 { margin: 0; font-size: 1.0625rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; text-wrap: pretty; }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem 1rem; background: var(--card); }
.soft { color: var(--soft); }
.note { margin-top: .75rem; padding: .6rem .9rem; border-left: 4px solid var(--warn); background: var(--warn-back); max-width: none; }
code, .id { font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: .75rem; margin: 0; }
.tile { overflow-wrap: anywhere; padding: .9rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  border-top: 4px solid var(--calm); display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.tile dt { color: var(--soft); font-size: .875rem; line-height: 1.4; }
.tile dt b { color: var(--text); display: block; font-size: 1rem; font-weight: 600; }
.tile dd { margin: 0; font-size: 1.75rem; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile.good { border-top-color: var(--good); } .tile.good dd { color: var(--good); }
.tile.bad { border-top-color: var(--bad); } .tile.bad dd { color: var(--bad); }
.tile.warn { border-top-color: var(--warn); } .tile.warn dd { color: var(--warn); }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 1rem; font-size: .8125rem; font-weight: 600;
  white-space: nowrap; color: var(--calm); background: var(--calm-back); }
.badge.good { color: var(--good); background: var(--good-back); }
.badge.bad { color: var(--bad); background: var(--bad-back); }
.badge.warn { color: var(--warn); background: var(--warn-back); }
table { width: 100%; border-collapse: collapse; font-size: .9375rem; }
caption { text-align: left; padding: 0 0 .5rem; color: var(--soft); font-size: .875rem; }
th, td { padding: .5rem .9rem .5rem 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-size: .8125rem; font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; overflow-wrap: anywhere; }
.word { white-space: nowrap; }
.names { min-width: 13rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-right: 1.75rem; }
th:last-child, td:last-child { padding-right: 0; }
td .soft { font-size: .8125rem; }
.panel, .route { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1.1rem 1.25rem; }
.route { margin: 0 0 1rem; }
.route header { display: flex; flex-wrap: wrap; gap: .25rem .6rem; align-items: baseline; max-width: none; margin: 0; padding: 0; }
.route ul { margin: .5rem 0; padding-left: 1.2rem; max-width: 46rem; }
.route li { margin: .25rem 0; overflow-wrap: anywhere; }
.route p { overflow-wrap: anywhere; }
.route table { margin-top: 1.1rem; }
.route caption { color: var(--text); font-weight: 600; }
@media (max-width: 60rem) {
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  header { padding-top: 1.5rem; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
  .tile { padding: .7rem .8rem; }
  table, tbody, tr, th, td, caption { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { padding: .6rem 0; border-top: 1px solid var(--line); }
  th, td, .number, .word { min-width: 0; padding: .1rem 0; border: 0; text-align: left; white-space: normal; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
}
@media print { body { background: none; } .route { break-inside: avoid; } .skip { display: none; } }
`
