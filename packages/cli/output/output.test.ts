import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Paint } from './paint.ts'
import { jsonText, printable } from './printable.ts'
import { details, table } from './table.ts'
import { bytes, localTime, parseDuration, relative, short, span, timeOf } from './time.ts'
import { tree } from './tree.ts'

const plain: Paint = { bold: String, dim: String, good: String, warn: String, bad: String, accent: String }
const coloured: Paint = { ...plain, bold: (text) => `\u001b[1m${text}\u001b[22m` }

describe('what is printed', () => {
  test('holds nothing that a terminal acts on, whatever a name contains', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\u2028\u2029]/u)
        assert.doesNotMatch(jsonText({ text }), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
        assert.deepEqual(JSON.parse(jsonText({ text })), { text }) // Nothing is lost on the way.
      }),
    )
  })
})

describe('a table', () => {
  const rows = [
    { id: 'a', name: 'short' },
    { id: 'bbbb', name: 'a much longer name than fits' },
  ]
  const columns = [
    { title: 'id', cell: (row: (typeof rows)[number]) => row.id },
    { title: 'name', cell: (row: (typeof rows)[number]) => row.name, flexible: true as const },
    { title: 'n', cell: (row: (typeof rows)[number]) => String(row.id.length), align: 'right' as const },
  ]

  test('aligns its columns, numbers to the right', () => {
    assert.equal(
      table(rows, columns, plain, undefined),
      [
        'ID    NAME                          N',
        'a     short                         1',
        'bbbb  a much longer name than fits  4',
      ].join('\n'),
    )
  })

  test('gives way in its flexible column alone', () => {
    const lines = table(rows, columns, plain, 22).split('\n')
    assert.ok(
      lines.every((line) => line.length <= 22),
      lines.join('\n'),
    )
    assert.match(lines[2] ?? '', /^bbbb {2}a much longe… {2}4$/)
  })

  test('measures what is seen, not what colours it', () => {
    const bold = [{ title: 'id', cell: (row: (typeof rows)[number]) => coloured.bold(row.id) }, ...columns.slice(1)]
    const lines = table(rows, bold, plain, undefined).split('\n')
    assert.equal(lines[1]?.replaceAll(/\u001b\[\d+m/g, ''), 'a     short                         1')
  })

  test('of details leaves out what is not there', () => {
    assert.equal(
      details(
        [
          ['id', 'a'],
          ['none', undefined],
          ['list', ['x', 'y']],
          ['empty', []],
        ],
        plain,
      ),
      'id     a\nlist   x\n       y\nempty  none',
    )
  })
})

describe('times', () => {
  test('are said as people say them', () => {
    assert.deepEqual([1, 90, 7200, 30 * 86_400, 800 * 86_400].map(span), ['1 s', '90 s', '2 h', '30 d', '2 y'])
    assert.deepEqual([relative(0, 180_000), relative(180_000, 0), relative(5, 5)], ['3 min ago', 'in 3 min', 'now'])
    assert.deepEqual([0.75, 42, 3100, 240_000].map(short), ['0.8 ms', '42 ms', '3.1 s', '4 min'])
    assert.match(localTime(0), /^19\d\d-\d\d-\d\d \d\d:\d\d:\d\d$/)
  })

  test('are read as people write them', () => {
    assert.deepEqual(
      ['90', '90s', '15m', '15min', '12h', '30d', '2w'].map(parseDuration),
      [90, 90, 900, 900, 43_200, 2_592_000, 1_209_600],
    )
    for (const text of ['', 'soon', '1.5h', '-1h', '1 h', '1y']) assert.throws(() => parseDuration(text), text)
  })

  test('and sizes too', () => {
    assert.deepEqual([0, 1023, 1024, 1_500_000].map(bytes), ['0 B', '1023 B', '1.0 KiB', '1.4 MiB'])
  })
})

describe('a tree', () => {
  test('is drawn with its branches', () => {
    const drawn = tree({
      text: 'a',
      children: [
        { text: 'b', children: [{ text: 'c', children: [] }] },
        { text: 'd', children: [] },
      ],
    })
    assert.equal(drawn, ['a', '├─ b', '│  └─ c', '└─ d'].join('\n'))
  })
})

test('a time is a span or a date in the form that is documented, and nothing that only looks like one', () => {
  const now = Date.UTC(2026, 10, 21, 12)
  const at = (text: string) => timeOf('--since', text, now)
  assert.equal(at('2h'), now - 7_200_000)
  assert.equal(at('90s'), now - 90_000)
  assert.equal(at('2026-11-21T08:00Z'), Date.UTC(2026, 10, 21, 8))
  assert.equal(at('2026-11-21T08:00:01.5+02:00'), Date.UTC(2026, 10, 21, 6, 0, 1, 500))
  assert.equal(at('2028-02-29'), Date.UTC(2028, 1, 29))
  assert.equal(at('2026-11-21T08:00'), new Date(2026, 10, 21, 8).getTime())
  assert.equal(at(localTime(now)), now) // As our own answers print it.
  const wrong = [
    '1mar',
    '1 mar 2026',
    '11/21/2026',
    '2026',
    '20261121',
    '90',
    '2026-11',
    '2026-02-30',
    '2026-13-01',
    '2026-11-21T25:00',
    '2026-11-21T8',
    '+2026-11-21',
    '',
  ]
  for (const text of wrong)
    assert.throws(() => at(text), { exit: 2, message: `--since cannot be "${text}"`, advice: /2026-11-21T08:00/ }, text)
})
