import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unknownVariables } from './variables.ts'

const meantBy = (name: string) => unknownVariables({ [name]: 'x' }).map(({ meant }) => meant)

test('a variable whose name is nearly that of ours is told apart from one of somebody else', () => {
  for (const [name, meant] of [
    ['SIGNET_DATABSE', 'SIGNET_DATABASE'],
    ['SIGNET_DATABASE_URL', 'SIGNET_DATABASE'],
    ['SIGNET_LOGLEVEL', 'SIGNET_LOG_LEVEL'],
    ['SIGNET_TRUSTED_PROXY', 'SIGNET_TRUSTED_PROXIES'],
    ['SIGNET_STATE_DIR', 'SIGNET_STATE'],
    ['SIGNET_RELAY_LISTN', 'SIGNET_RELAY_LISTEN'],
    ['SIGNET_VERSION', undefined],
    ['SIGNET_DOMAIN', undefined],
    ['SIGNET_TEST_POSTGRES', undefined],
    ['SIGNET_NATS_SERVER', undefined],
    ['SIGNET_TEST_JOBS', undefined],
    ['SIGNET_KILLS', undefined],
  ] as const)
    assert.deepEqual(meantBy(name), [meant], name)
})

test('ours, those of others and those without a value are not unknown', () => {
  const env = { SIGNET_DATABASE: 'x', SIGNET_RELAY_ID: 'x', SIGNET_URL: 'x', SIGNETS_DATABSE: 'x', SIGNET_DATABSE: '', PATH: 'x' }
  assert.deepEqual(unknownVariables(env), [])
})

test('what Kubernetes says of services that are called as we are is nobody’s slip', () => {
  // As a kubelet sets them for services `signet`, of two ports, `signet-bus` and `signet-relay-id`; the last has an IPv6 address.
  const links = {
    SIGNET_SERVICE_HOST: '10.96.0.12',
    SIGNET_SERVICE_PORT: '80',
    SIGNET_SERVICE_PORT_HTTP: '80',
    SIGNET_SERVICE_PORT_OPERATIONS: '4809',
    SIGNET_PORT: 'tcp://10.96.0.12:80',
    SIGNET_PORT_80_TCP: 'tcp://10.96.0.12:80',
    SIGNET_PORT_80_TCP_PROTO: 'tcp',
    SIGNET_PORT_80_TCP_PORT: '80',
    SIGNET_PORT_80_TCP_ADDR: '10.96.0.12',
    SIGNET_PORT_4809_UDP: 'udp://10.96.0.12:4809',
    SIGNET_BUS_SERVICE_HOST: '10.96.0.13',
    SIGNET_BUS_SERVICE_PORT: '4222',
    SIGNET_BUS_PORT: 'tcp://10.96.0.13:4222',
    SIGNET_BUS_PORT_4222_TCP: 'tcp://10.96.0.13:4222',
    SIGNET_RELAY_ID_SERVICE_HOST: 'fd00::12',
    SIGNET_RELAY_ID_PORT: 'tcp://[fd00::12]:80',
  }
  assert.deepEqual(unknownVariables(links), [])
  assert.equal(meantBy('SIGNET_PORT').length, 1, 'a port that somebody set is not one that Kubernetes did')
})
