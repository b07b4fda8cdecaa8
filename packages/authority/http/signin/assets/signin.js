// Passkeys, showing a password while it is typed, and not sending a form twice. Everything else works without this file.

const capable = typeof PublicKeyCredential === 'function' && navigator.credentials !== undefined

for (const form of document.querySelectorAll('form[data-passkey][data-options]')) if (capable) preparePasskey(form)
for (const wrap of document.querySelectorAll('[data-reveal]')) addReveal(wrap)
for (const form of document.querySelectorAll('form:not([data-passkey="get"])')) guardAgainstTwice(form)

// ── Passkeys ──

function preparePasskey(form) {
  const options = JSON.parse(form.dataset.options)
  const isNew = form.dataset.passkey === 'create'
  const says = form.querySelector('[data-passkey-error]')
  let waiting = new AbortController()
  for (const part of form.querySelectorAll('[data-scripted]')) part.hidden = false

  form.addEventListener('submit', async (event) => {
    const button = event.submitter
    // A form with a password too is left alone unless its passkey button was pressed.
    if (isNew && !button?.hasAttribute('data-use-passkey')) return
    event.preventDefault()
    const username = form.elements.namedItem('username')
    if (username !== null && !username.reportValidity()) return
    waiting.abort()
    waiting = new AbortController()
    says.hidden = true
    button?.setAttribute('aria-busy', 'true')
    try {
      const credential = isNew
        ? await create(options, username?.value, waiting.signal)
        : await get(options, undefined, waiting.signal)
      send(form, credential)
    } catch (error) {
      button?.removeAttribute('aria-busy')
      says.textContent = explain(error, isNew)
      says.hidden = false
    }
  })

  // The browser offers passkeys in the username field by itself, where it can.
  if (!isNew && document.querySelector('input[autocomplete~="webauthn"]') !== null) {
    void PublicKeyCredential.isConditionalMediationAvailable?.().then(async (available) => {
      if (!available) return
      try {
        send(form, await get(options, 'conditional', waiting.signal))
      } catch {
        // Nobody took the offer, or the button was pressed instead.
      }
    })
  }
}

function send(form, credential) {
  form.elements.namedItem('passkey').value = JSON.stringify(toJson(credential))
  form.submit()
}

function get(options, mediation, signal) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON?.(options) ?? {
    ...options,
    challenge: fromBase64Url(options.challenge),
  }
  return navigator.credentials.get({ publicKey, signal, ...(mediation === undefined ? {} : { mediation }) })
}

function create(options, username, signal) {
  const named = username
    ? { ...options, user: { ...options.user, name: username, displayName: options.user.displayName || username } }
    : options
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON?.(named) ?? {
    ...named,
    challenge: fromBase64Url(named.challenge),
    user: { ...named.user, id: fromBase64Url(named.user.id) },
    excludeCredentials: named.excludeCredentials.map((one) => ({ ...one, id: fromBase64Url(one.id) })),
  }
  return navigator.credentials.create({ publicKey, signal })
}

// Password managers hand out credentials whose own toJSON fails, so it is not used: these are the members the server reads.
function toJson({ id, type, response }) {
  const members = {}
  for (const name of ['clientDataJSON', 'authenticatorData', 'signature', 'userHandle', 'attestationObject']) {
    if (response[name]) members[name] = toBase64Url(response[name])
  }
  if (response.getTransports) members.transports = response.getTransports()
  return { id, rawId: id, type, response: members, clientExtensionResults: {} }
}

function explain(error, isNew) {
  if (error.name === 'InvalidStateError') return 'This device already has a passkey for your account.'
  if (error.name === 'NotAllowedError' || error.name === 'AbortError')
    return isNew ? 'No passkey was made. Try again when you’re ready.' : 'No passkey was used. Try again when you’re ready.'
  return 'Your browser couldn’t use a passkey here.'
}

function toBase64Url(buffer) {
  let text = ''
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte)
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

function fromBase64Url(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
}

// ── Small comforts ──

function addReveal(wrap) {
  const input = wrap.querySelector('input')
  const button = document.createElement('button')
  button.type = 'button'
  button.className = 'reveal'
  const label = document.querySelector(`label[for="${input.id}"]`)?.textContent.toLowerCase() ?? 'password'
  const show = (shown) => {
    input.type = shown ? 'text' : 'password'
    button.textContent = shown ? 'Hide' : 'Show'
    button.setAttribute('aria-label', `${shown ? 'Hide' : 'Show'} ${label}`)
  }
  show(false)
  button.addEventListener('click', () => {
    show(input.type === 'password')
    input.focus()
  })
  // Sent as a password, so that no browser remembers it as a text.
  input.form?.addEventListener('submit', () => show(false))
  wrap.append(button)
}

function guardAgainstTwice(form) {
  let isSent = false
  form.addEventListener('submit', (event) => {
    if (event.defaultPrevented) return
    if (isSent) event.preventDefault()
    isSent = true
    event.submitter?.setAttribute('aria-busy', 'true')
  })
  // The page may come back as it was left.
  addEventListener('pageshow', (event) => {
    if (!event.persisted) return
    isSent = false
    for (const busy of form.querySelectorAll('[aria-busy]')) busy.removeAttribute('aria-busy')
  })
}
