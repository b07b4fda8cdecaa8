/** Requests as bytes: form posts with client authentication, as OAuth endpoints take them. */

export interface Endpoint {
  readonly port: number
  readonly path: string
}

/** RFC 6749 §2.3.1: id and secret are form-encoded before they are joined. */
export function basic(client: { id: string; secret: string }): string {
  const encode = (text: string) => encodeURIComponent(text)
  return `Basic ${Buffer.from(`${encode(client.id)}:${encode(client.secret)}`).toString('base64')}`
}

export function formPost({ port, path }: Endpoint, authorization: string, form: Readonly<Record<string, string>>): string {
  const body = new URLSearchParams(form).toString()
  return `${formHead({ port, path }, authorization)}Content-Length: ${body.length}\r\n\r\n${body}`
}

/** Everything but the length and the body, for forms of which one field changes from request to request. */
export function formHead({ port, path }: Endpoint, authorization: string): string {
  return (
    `POST ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nAuthorization: ${authorization}\r\n` +
    'Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n'
  )
}
