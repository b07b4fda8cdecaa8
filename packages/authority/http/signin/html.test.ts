import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { escapeText, html } from './html.ts'

test('text is escaped wherever it stands', () => {
  const name = `<script>alert(1)</script>`
  assert.equal(String(html`<b>${name}</b>`), '<b>&lt;script&gt;alert(1)&lt;/script&gt;</b>')
  assert.equal(String(html`<input value="${'" onfocus="alert(1)'}">`), '<input value="&quot; onfocus=&quot;alert(1)">')
  assert.equal(String(html`<i title="${"'`&"}"></i>`), '<i title="&#39;&#96;&amp;"></i>')
})

test('markup of the tag itself is kept, lists are joined, nothing is written for what is absent', () => {
  const items = ['a<', 'b'].map((item) => html`<li>${item}</li>`)
  assert.equal(String(html`<ul>${items}</ul>${undefined}${null}${false}${0}`), '<ul><li>a&lt;</li><li>b</li></ul>0')
})

test('an object that only looks like markup is not written as markup', () => {
  const forged = { toString: () => '<script>' } as never
  assert.throws(() => html`${forged}`)
})

test('direction overrides and control characters do not reach the page', () => {
  assert.equal(escapeText('bank\u202Emoc.\u0000'), 'bank\ufffdmoc.\ufffd')
})

test('whatever the text, no character that could open a tag, an entity or end an attribute is left', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(escapeText(text).replaceAll(/&(amp|lt|gt|quot|#39|#96);/g, ''), /[&<>"'`]/)
    }),
  )
})
