/** The map of the door: which part answers where. Each part says what it needs; together that is what the door needs. */
import type { FastifyInstance } from 'fastify'
import { type AdminRouteParts, adminRoutes } from './admin/routes.ts'
import { type FeedRouteParts, feedRoutes } from './feed.ts'
import { acceptForms } from './form.ts'
import { type HealthParts, publicHealthRoutes } from './health.ts'
import { type DiscoveryParts, discoveryRoutes } from './oauth/discovery.ts'
import { type IntrospectParts, introspectRoute } from './oauth/introspect.ts'
import { type RevokeParts, revokeRoutes } from './oauth/revoke.ts'
import { type TokenParts, tokenRoute } from './oauth/token.ts'
import { type UserinfoParts, userinfoRoutes } from './oauth/userinfo.ts'
import { type RegionRouteParts, regionRoutes } from './region.ts'
import { signinRoutes } from './signin/routes.ts'

type OAuthParts = TokenParts & IntrospectParts & RevokeParts & UserinfoParts & DiscoveryParts

export interface RouteParts {
  readonly oauth: OAuthParts
  readonly signin: Parameters<typeof signinRoutes>[1]
  readonly admin: AdminRouteParts
  readonly feed: FeedRouteParts
  readonly region: RegionRouteParts
  readonly health: HealthParts
}

export function routes(app: FastifyInstance, parts: RouteParts): void {
  publicHealthRoutes(app, parts.health) //        /healthz /readyz
  discoveryRoutes(app, parts.oauth) //            /.well-known/… /jwks
  app.register(async (door) => {
    acceptForms(door)
    tokenRoute(door, parts.oauth) //              /token
    introspectRoute(door, parts.oauth) //         /introspect
    revokeRoutes(door, parts.oauth) //            /revoke /leaks
    userinfoRoutes(door, parts.oauth) //          /userinfo
  })
  app.register(async (door) => signinRoutes(door, parts.signin)) // /authorize /signin /consent /setup /logout /account
  app.register(async (door) => adminRoutes(door, parts.admin)) //   /admin/v1/…
  app.register(async (door) => feedRoutes(door, parts.feed)) //     /feed/…
  app.register(async (door) => regionRoutes(door, parts.region)) // /region/…
}
