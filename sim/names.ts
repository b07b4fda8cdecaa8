/** What everybody in a simulated world calls things by. */
export const ISSUER = 'https://auth.example'
export const API = 'https://api.example'
export const REDIRECT = 'https://app.example/callback'
export const SERVICE_SECRET = 'the secret of a simulated service'
