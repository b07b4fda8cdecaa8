const verdict = document.querySelector('#verdict')
const freshness = document.querySelector('#freshness')
const steps = [...document.querySelectorAll('li[data-step]')]

const state = await (await fetch('/state')).json()
for (const step of steps) {
  const button = step.querySelector('button')
  const output = step.querySelector('output')
  button.disabled = !state.signed_in
  button.addEventListener('click', async () => {
    button.disabled = true
    const told = await (await fetch(`/steps/${step.dataset.step}`, { method: 'POST' })).json()
    output.textContent = `${told.says}${told.delayMs === undefined ? '' : ` (${told.delayMs.toFixed(1)} ms)`}`
    output.className = told.ok ? 'good' : 'bad'
    button.disabled = false
    await look()
  })
}
if (state.signed_in) document.querySelector('#login').textContent = 'Sign in again'
if (location.search === '?failed') freshness.textContent = 'The sign-in did not end in a token. Try again.'

async function look() {
  const now = await (await fetch('/verdict')).json()
  if (now.verdict === 'none') return
  const accepted = now.verdict === 'accepted'
  verdict.textContent = accepted ? `Accepted: ${now.permissions.join(', ')}` : `Refused: ${now.verdict}`
  verdict.dataset.verdict = accepted ? 'accepted' : 'refused'
  freshness.textContent = `Knows of every revocation up to ${now.staleness_ms} ms ago (${now.freshness}).`
}

if (state.signed_in) {
  await look()
  setInterval(look, 500)
}
