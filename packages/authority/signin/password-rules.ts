/**
 * What may be a password. Length and not being the one everybody tries are what matters; rules about digits and capitals
 * only make people write `Password1!` (NIST SP 800-63B §3.1.1.2).
 */
import { normalizePassword } from './password.ts'

export type PasswordFlaw = 'too_short' | 'too_long' | 'too_common' | 'contains_username'

/** Characters, after normalisation. */
export const PASSWORD_MIN = 10
export const PASSWORD_MAX = 256
/** Of a name, its part before an `@` counts too; shorter ones occur in words by accident. */
const NAME_MIN = 4

export function judgePassword(text: string, username: string): PasswordFlaw | undefined {
  // Looked at before normalising, which can make a text eighteen times as long.
  if (text.length > PASSWORD_MAX * 2) return 'too_long'
  const password = normalizePassword(text)
  const characters = [...password].length
  if (characters < PASSWORD_MIN) return 'too_short'
  if (characters > PASSWORD_MAX) return 'too_long'
  const lower = password.toLowerCase()
  const names = [username.toLowerCase(), username.toLowerCase().split('@')[0] as string]
  if (names.some((name) => name.length >= NAME_MIN && lower.includes(name))) return 'contains_username'
  return isCommon(lower) ? 'too_common' : undefined
}

/** In whatever disguise: repeated, run along the keyboard, or one common word dressed up with digits and signs. */
function isCommon(lower: string): boolean {
  if (new Set(lower).size <= 3 || isRepeated(lower)) return true
  if (RUNS.some((run) => run.includes(lower))) return true
  return [lower, tail(lower), core(lower)].some((text) => COMMON.has(text) || COMMON.has(undisguised(text)))
}

// What people put around a word to satisfy a form: digits and signs, at most eight on either side.
const tail = (text: string): string => text.replace(/[^a-z]{1,8}$/, '')
const core = (text: string): string => tail(text).replace(/^[^a-z]{1,8}/, '')
const undisguised = (text: string): string => text.replaceAll(/[@4310$5!7]/g, (sign) => LOOKALIKES[sign] as string)

function isRepeated(text: string): boolean {
  for (let length = 1; length <= Math.min(4, text.length / 2); length++) {
    const unit = text.slice(0, length)
    if (unit.repeat(Math.ceil(text.length / length)).startsWith(text)) return true
  }
  return false
}

const LOOKALIKES: Readonly<Record<string, string>> = {
  '@': 'a',
  4: 'a',
  3: 'e',
  1: 'i',
  '!': 'i',
  0: 'o',
  $: 's',
  5: 's',
  7: 't',
}

const both = (text: string): readonly string[] => [text, [...text].reverse().join('')]
const RUNS: readonly string[] = [
  ...both('01234567890123456789'),
  ...both('abcdefghijklmnopqrstuvwxyzabcdefghij'),
  ...both('qwertyuiopasdfghjklzxcvbnm'),
  ...both('qwertzuiopasdfghjklyxcvbnm'),
  ...both('azertyuiopqsdfghjklmwxcvbn'),
  ...both('1q2w3e4r5t6y7u8i9o0p'),
  ...both('1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik'),
  ...both('qazwsxedcrfvtgbyhnujmikolp'),
  ...both('zaq12wsxcde34rfvbgt56yhn'),
]

/** Words and phrases that head every list of leaked passwords, bare; dressings are stripped before they are looked up. */
const COMMON: ReadonlySet<string> = new Set(
  `password passwort passw passwd passphrase passpass passwordpassword mypassword thepassword newpassword oldpassword
  password123 passwordone changeme changemenow changeit pleasechange letmein letmeinnow letmeinplease openup opensesame
  welcome welcomeback welcometo welcomehome iloveyou iloveyouso iloveyoumore iloveu loveyou lovelove loveme mylove
  qwerty qwertyqwerty qwertyuiop qwertyasdf qwerasdf qwerasdfzxcv asdfasdf asdfghjkl asdfjkl zxcvbnm zxcvzxcv azerty
  admin administrator adminadmin administrateur rootroot root toor superuser sysadmin superadmin system manager default
  secret secrets topsecret mysecret supersecret secretpassword verysecret secretsecret hidden private
  football baseball basketball softball volleyball superstar superman batman spiderman ironman wonderwoman
  princess princesses sunshine mysunshine butterfly chocolate strawberry cinnamon sweetheart sweetpea babygirl babyboy
  dragon dragons dragonball monkey monkeys tiger elephant dolphin unicorn pokemon pikachu starwars startrek minecraft
  fortnite counterstrike warcraft worldofwarcraft liverpool manchester barcelona realmadrid chelsea arsenal juventus
  michael michelle jennifer jessica elizabeth alexander alexandra christopher christian christina nicholas samantha
  jonathan stephanie benjamin victoria charlotte veronica caroline catherine katherine francesca valentina
  computer computers internet keyboard microsoft windows facebook google youtube linkedin instagram whatsapp samsung
  apple android iphone myspace spotify netflix amazon playstation nintendo xbox
  trustno trustnoone whatever whatsup nothing something anything everything somethingelse idontknow idontcare
  forever foreveryoung freedom friends friendship bestfriend bestfriends family familyfirst mother father brother sister
  summer winter spring autumn january february march april june july august september october november december
  monday tuesday wednesday thursday friday saturday sunday holiday christmas halloween happybirthday birthday
  jesus jesuschrist jesusislord jesuslovesme blessed godisgood godbless heaven angel angels hallelujah faith
  correcthorsebatterystaple correcthorse horsebatterystaple monkeybusiness tobeornottobe thequickbrownfox hunter
  america american england germany deutschland france australia canada london newyork california chicago boston texas
  hello helloworld hellohello hellokitty hellothere goodmorning goodnight goodbye testtest test testing tester testpassword
  temp temporary temppassword guest guestguest user username useruser login loginlogin logmein access accessgranted master
  masterkey masterpassword shadow shadows phoenix matrix mustang ferrari porsche mercedes corvette harley yamaha
  metallica nirvana blink eminem slipknot linkinpark pinkfloyd ledzeppelin beatles rockstar rocknroll guitar
  abcdef abcdefg abcdefgh abcabc aaaaaa abcd abcdabcd monopoly peanut peanutbutter pepper cheese cookie cookies banana
  company business office service support helpdesk security server network database developer development production
  signet oauth token authority identity bearer`.split(/\s+/),
)
