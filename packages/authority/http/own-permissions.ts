/** What tokens for the authority itself may open: the permissions of its own validator. */
import type { PermissionMap } from '@signet/validator/permissions.ts'
import { ADMIN_PERMISSIONS } from './admin/authorise.ts'

export const OWN_PERMISSIONS: PermissionMap = {
  ...ADMIN_PERMISSIONS,
  openid: {},
  'signet:feed': { scopes: ['signet:feed', 'signet:admin'] },
  'signet:region': {},
}
