// Roles, from who may most to who may least.
import type { Role } from "../../../wire/generated/protocol.ts";

export const ROLES: readonly Role[] = ["admin", "agent", "viewer"];
