"""The style of the page: light and dark, narrow and wide, screen and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fdfdfc; --ink: #1d2128; --muted: #5d6571; --grid: #e1e3e6; --box: #f4f5f6;
  --first: #2f62a3; --second: #c2541b; --third: #1f7a4f; --fourth: #8455a3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --ink: #e4e6ea; --muted: #9ba3ae; --grid: #343941; --box: #1f2227;
    --first: #6ba5ec; --second: #ee8a4d; --third: #55c08d; --fourth: #c295e0;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 80rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.5rem 0 0.5rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--grid); }
h1, h2, p, th, td, dt, dd, figcaption { overflow-wrap: anywhere; }
p, figcaption { max-width: 48rem; }
.verdict { font-size: 1.1rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9rem), 1fr)); gap: 0.75rem 1.5rem; }
dt { color: var(--muted); font-size: 0.85rem; }
dd { margin: 0; }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--muted); font-size: 0.875rem; margin-top: 0.5rem; }
.pictures { display: grid; gap: 1.5rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.pictures figure { max-width: 36rem; }
.picture svg { display: block; width: 100%; height: auto; stroke-linejoin: round; }
.picture text { font-family: system-ui, sans-serif; }
.scroll { overflow: auto; max-width: 100%; }
.long { max-height: 40rem; }
figure + .pictures { margin-top: 2rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid); }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
.numbers td, .numbers th + th, .confusion td, .bars td:last-child, .bars th:last-child { text-align: right; }
.numbers th, .numbers td, .columns td:nth-child(2) { white-space: nowrap; }
.columns th, .columns td { min-width: 6rem; max-width: 30rem; }
.columns th:first-child, .columns td:nth-child(3) { min-width: 8rem; }
.columns .rest { color: var(--muted); }
.columns .rest th[colspan] { padding-top: 1rem; font-weight: 600; }
.confusion th { max-width: 12rem; min-width: 5rem; }
.numbers tbody th, .confusion tbody th { position: sticky; left: 0; background: var(--page); }
.confusion thead th { text-align: right; }
.confusion th:first-child { min-width: 8rem; }
.confusion td { padding: 0; }
.confusion td:last-child { padding: 0.3rem 0.75rem; color: var(--muted); }
.confusion span {
  display: block; min-width: 4rem; padding: 0.3rem 0.6rem;
  background: color-mix(in srgb, var(--first) var(--share), transparent);
}
.confusion span[data-right] { box-shadow: inset 0 0 0 2px var(--first); }
.confusion small { display: block; }
table.bars { width: 100%; max-width: 60rem; }
.bars th { width: 30%; min-width: 5rem; }
.bars td:nth-child(2) { min-width: 4rem; padding: 0.3rem 0; }
.bars td:last-child, .bars thead th:last-child { white-space: nowrap; width: 1%; }
.bars svg { display: block; width: 100%; height: 1.2rem; }
.bars rect { fill: var(--first); }
.bars path { stroke: var(--ink); stroke-width: 1.2px; vector-effect: non-scaling-stroke; }
pre { background: var(--box); padding: 0.75rem 1rem; overflow-x: auto; font-size: 0.875rem; }
footer { color: var(--muted); font-size: 0.85rem; margin: 2rem auto; }
@media print {
  :root { color-scheme: light; --page: #fff; --ink: #000; --muted: #444; }
  body { font-size: 10pt; }
  header, main, footer { max-width: none; padding: 0; }
  .scroll { overflow: visible; max-height: none; }
  pre { white-space: pre-wrap; }
  h2 { break-after: avoid; }
  .picture, tr { break-inside: avoid; }
  .confusion span, .bars rect { print-color-adjust: exact; }
  .pictures { grid-template-columns: 1fr 1fr; }
}
"""
